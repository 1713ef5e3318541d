"""Fills in what people and Docker read: guides, letters, the Compose file. A value that is missing is an error."""

from collections.abc import Callable, Mapping
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any, Final, Literal, get_args

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import builders

Language = Literal["en", "de"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)

MEGABYTE: Final = 1_000_000
GIGABYTE: Final = 1_000_000_000


def render(template: str, values: Mapping[str, Any], language: Language = "en") -> str:
    """`template` lies under builders/templates: without its `.j2`, and a guide without its language.

    Raises jinja2.UndefinedError.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(next(iter(builders.__path__))) / "templates"),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 (no markup comes out)
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["number"] = lambda value: number(value, language)
    environment.filters["size"] = lambda value: size(value, language)
    environment.filters["day"] = lambda value: day(value, language)
    found = environment.select_template(
        [f"{template}.j2", f"{template}.{language}.md.j2", f"{template}.{language}.txt.j2"]
    )
    return found.render({**values, "step": _steps()})


def number(value: int, language: Language) -> str:
    """12,345, and in German 12.345."""
    return f"{value:,}".replace(",", "." if language == "de" else ",")


def size(value: int, language: Language = "en") -> str:
    """Bytes as people say them: 3 kB, 2.5 MB, 120 MB, 1.4 GB; what is less than 1 kB is 1 kB."""
    if value < MEGABYTE:
        return f"{max(1, round(value / 1000))} kB"
    if 10 * MEGABYTE <= value < GIGABYTE:
        return f"{round(value / MEGABYTE)} MB"
    unit, name = (GIGABYTE, "GB") if value >= GIGABYTE else (MEGABYTE, "MB")
    return f"{value / unit:.1f} {name}".replace(".", "," if language == "de" else ".")


def day(value: date, language: Language) -> str:
    """2026-11-23, and in German 23.11.2026."""
    return value.strftime("%d.%m.%Y" if language == "de" else "%Y-%m-%d")


def _steps() -> Callable[[], int]:
    """Numbers a guide's steps, from 1."""
    counter = count(1)
    return lambda: next(counter)
