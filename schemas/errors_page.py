"""docs/errors.md: every error of the catalogue, its code, family, sentence and next step.

python -m schemas.errors_page          writes it
python -m schemas.errors_page --check  writes nothing; fails if it is not current
"""

import re
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from schemas.errors import CATALOGUE, ErrorKind

PAGE: Final = Path(__file__).parents[1] / "docs" / "errors.md"
HEAD: Final = """\
# Errors

<!-- Written by `make generated` from schemas/errors.py. -->

Every error has a code. A code is stable: alert on it. It stands in the log, in `/readyz`, in the ledger, in the
`cradle_code` header of a dead letter and, with `--json`, in what a command prints. An error's text never holds a
document's path or content.

| family | what it means | what the runtime does |
| --- | --- | --- |
| permanent | this message can never pass | a dead letter at once; its neighbours go on |
| retryable | it can pass later; no message is to blame | the stage waits, says for what, and goes on by itself |
| usage | a command or a setting is wrong | the command fails and says what to do next |

An error that is not in this list is tried three times and then becomes `delivery.unexpected`. Codes marked * pause the
stage when more than `CRADLE_STORM_LIMIT` messages fail with one within a minute, and these are more than half of all.
"""
_DETAIL: Final = re.compile(r"{(\w+)[^}]*}")


def page() -> str:
    """The whole document. Codes are grouped by what stands before their dot, in the catalogue's order."""
    order = list(dict.fromkeys(_section(code) for code in CATALOGUE))
    codes = sorted(CATALOGUE, key=lambda code: order.index(_section(code)))
    return HEAD + "".join(_table(section, [*found]) for section, found in groupby(codes, key=_section))


def _section(code: str) -> str:
    return code.partition(".")[0]


def _table(section: str, codes: Sequence[str]) -> str:
    head = f"\n## {section}\n\n| code | family | says | next step |\n| --- | --- | --- | --- |\n"
    return head + "".join(_row(code, CATALOGUE[code]) for code in codes)


def _row(code: str, kind: ErrorKind) -> str:
    mark = " *" if kind.storms else ""
    return f"| `{code}`{mark} | {kind.family} | {_told(kind.sentence)} | {_told(kind.next_step)} |\n"


def _told(template: str) -> str:
    """The details that an error fills in stand in capitals."""
    return _DETAIL.sub(lambda detail: detail[1].upper(), template).replace("|", "\\|")


def main(arguments: Sequence[str]) -> int:
    wanted = page()
    if "--check" not in arguments:
        PAGE.write_text(wanted, "utf-8")
    elif not PAGE.exists() or PAGE.read_text("utf-8") != wanted:
        print("docs/errors.md is not current: run `make generated`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
