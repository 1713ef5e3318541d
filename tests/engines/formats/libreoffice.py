"""Writes `files/` and `printed/`: the corpus as LibreOffice saves and prints it.

`python -m tests.engines.formats.libreoffice`. What it wrote is kept, so that tests need no LibreOffice; it changes only
when this is run anew.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tests.engines.formats import flat

FILES: Final = Path(__file__).parent / "files"
PRINTED: Final = Path(__file__).parent / "printed"
"""Apart: the figures of docs/reliability.md are of all that lies in `files/`, cut and changed."""
MADE: Final[Sequence[tuple[Path, str, Callable[[], bytes], Sequence[str]]]] = (
    (FILES, "manual.fodt", flat.manual, ("odt", "docx", "rtf", "epub", "html")),
    (FILES, "prices.fods", flat.prices, ("ods", "xlsx")),
    (FILES, "slides.fodp", flat.slides, ("odp", "pptx")),
    (PRINTED, "manual.fodt", partial(flat.manual, printed=True), ("pdf",)),
)
"""Where to, what of, and which formats."""


def main() -> int:
    office = shutil.which("soffice")
    if office is None:
        print("LibreOffice (soffice) is not installed.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        for target, name, make, suffixes in MADE:
            source = Path(folder) / name
            source.write_bytes(make())
            for suffix in suffixes:
                subprocess.run(
                    [office, f"-env:UserInstallation=file://{folder}/profile", "--headless", "--convert-to", suffix,
                     "--outdir", str(target), str(source)],
                    check=True, capture_output=True, timeout=120,
                )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
