"""Writes the files that are generated from the code; with `--check`, says which are not current.

`python -m cradle.generated [--check]`. Exit code 1 if a check fails.
"""

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from pydantic.fields import FieldInfo

from cradle.settings import PREFIX, Settings
from schemas import asyncapi, errors_page, json_schemas

SETTINGS_PAGE: Final = Path(__file__).parents[1] / "docs" / "settings.md"
HEAD: Final = """\
# Settings

<!-- Written by `make generated` from cradle/settings.py. -->

Every setting is a variable or an entry of a TOML file. The variable wins. The file is the one that `CRADLE_CONFIG`
names, or the first of `CRADLE_HOME/cradle.toml` and `./cradle.toml` that exists; its keys are the names below without
`CRADLE_`, in lower case. `cradle doctor --settings` shows each value and where it came from.

A URL that is not set belongs to the embedded stack that `cradle up` starts under `CRADLE_HOME`: for trying, developing
and tests. It does not keep its log through a power cut.

| variable | default | meaning |
| --- | --- | --- |
"""
TAIL: Final = """
Two variables are no settings: `CRADLE_CONFIG` names the file, and `CRADLE_DEBUG=1` shows tracebacks. S3 takes its
credentials from the usual AWS variables.

```toml
# cradle.toml
broker_url = "kafka://kafka-1:9092,kafka-2:9092,kafka-3:9092"
log_level = "warning"
```
"""


def settings_page() -> str:
    """docs/settings.md."""
    rows = [_row(name, field) for name, field in Settings.model_fields.items()]
    return HEAD + "\n".join(rows) + "\n" + TAIL


def write_settings(arguments: Sequence[str]) -> int:
    wanted = settings_page()
    if "--check" not in arguments:
        SETTINGS_PAGE.write_text(wanted, "utf-8")
    elif not SETTINGS_PAGE.exists() or SETTINGS_PAGE.read_text("utf-8") != wanted:
        print("docs/settings.md is not current: run `make generated`.", file=sys.stderr)
        return 1
    return 0


GENERATORS: Final[tuple[Callable[[Sequence[str]], int], ...]] = (
    json_schemas.main,
    asyncapi.main,
    errors_page.main,
    write_settings,
)


def main(arguments: Sequence[str]) -> int:
    return max([generate(arguments) for generate in GENERATORS])


def _row(name: str, field: FieldInfo) -> str:
    default = field.default
    shown = "" if default is None else f"`{default}`" if str(default) else "empty"
    meaning = re.sub(r"\s+", " ", field.description or "")
    return f"| `{PREFIX}{name.upper()}` | {shown} | {meaning} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
