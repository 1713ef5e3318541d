"""Writes docs/formats.md; with `--check`, says whether it is current."""

import sys

from tests.engines.formats.page import main

sys.exit(main(sys.argv[1:]))
