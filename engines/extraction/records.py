"""Data that others' programs write, for a person to read: XML and JSON.

Both are trees. A list of things alike becomes a table; what has a name and a value, a line of both; text with words
marked up within, as DocBook or an article has it, paragraphs.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from lxml import etree

from engines.extraction.blocks import Block, Heading, Item, Paragraph, Run, Table, write
from engines.extraction.encodings import decode
from engines.extraction.packages import Element, local, parsed
from engines.extraction.reading import Reading
from schemas.errors import Permanent

_DEEPEST: Final = 100
_WIDEST: Final = 60
"""Columns. Things with more fields are told one by one."""
_MOST_ENTITIES: Final = 10_000
_LONGEST_ENTITY: Final = 10_000
_UNREAD: Final = ("script", "style")
_TITLES: Final = ("title", "head", "heading", "h1", "h2", "h3", "h4", "h5", "h6")
_SECTIONS: Final = (
    "section",
    "chapter",
    "part",
    "appendix",
    "sect1",
    "sect2",
    "sect3",
    "sect4",
    "div",
    "article",
    "book",
)

Tree = str | Sequence["Tree"] | Mapping[str, "Tree"]
"""What JSON can say, its numbers and truths as text."""


def read_json(data: bytes, media_type: str) -> Reading:
    """One value, or one a line. Raises Permanent `document.broken`."""
    source = decode(data)
    try:
        value = _value(json.loads(source, parse_int=str, parse_float=str))
    except (ValueError, RecursionError):
        value = _lines(source, media_type)
    return Reading([write(_told(value, 0))])


def _lines(source: str, media_type: str) -> "Tree":
    try:
        return [
            _value(json.loads(line, parse_int=str, parse_float=str)) for line in source.splitlines() if line.strip()
        ]
    except (ValueError, RecursionError):
        raise Permanent("document.broken", kind=media_type) from None


def _value(value: Any, depth: int = 0) -> "Tree":
    if isinstance(value, dict):
        return {str(key): _value(one, depth + 1) for key, one in value.items()} if depth < _DEEPEST else "..."
    if isinstance(value, list):
        return [_value(one, depth + 1) for one in value] if depth < _DEEPEST else "..."
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


# -- a tree, told -----------------------------------------------------------------------------------------------------


def _told(value: "Tree", depth: int, name: str = "") -> Iterator[Block]:
    """A line `name: value`, or a table, or both within an item that bears the name."""
    if isinstance(value, str):
        yield from _line(name, value, depth)
        return
    table = _table(value) if isinstance(value, Sequence) else None
    if name:
        yield Item([Run(f"{name}:")], depth) if table is None else Paragraph([Run(f"{name}:")])
        depth += table is None
    if table is not None:
        yield table
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _told(one, depth, key)
    else:
        yield from _each(value, depth)


def _line(name: str, value: str, depth: int) -> Iterator[Block]:
    if value.strip():
        yield Item([Run(f"{name}: {value}" if name else value)], depth)


def _each(values: Sequence["Tree"], depth: int) -> Iterator[Block]:
    for number, value in enumerate(values, 1):
        if isinstance(value, str):
            yield from _line("", value, depth)
        else:
            yield Item([Run(f"{number}:")], depth)
            yield from _told(value, depth + 1)


def _table(values: Sequence["Tree"]) -> Table | None:
    """Of two or more things whose fields are all plain; None for others."""
    if len(values) < 2 or not all(isinstance(one, Mapping) for one in values):
        return None
    names: dict[str, None] = {}
    for one in values:
        names.update(dict.fromkeys(one))  # type: ignore[arg-type]
        if len(names) > _WIDEST or not all(isinstance(field, str) for field in one.values()):  # type: ignore[union-attr]
            return None
    if not names:
        return None
    rows = [list(names), *([str(one.get(name, "")) for name in names] for one in values)]  # type: ignore[union-attr]
    return Table([[[Paragraph([Run(cell)])] for cell in row] for row in rows])


# -- XML --------------------------------------------------------------------------------------------------------------


def read_xml(data: bytes, media_type: str) -> Reading:
    """Raises Permanent `document.broken`. No entity is fetched; those that the file itself defines are put in once,
    not what they name in turn."""
    root = parsed(data, media_type)
    entities = _Entities(root)
    blocks = _prose(root, entities, 0) if _is_prose(root) else _data(root, entities)
    title = next((_text(one, entities) for one in root.iter() if local(one) == "title"), None)
    return Reading([write(blocks)], title=title)


def _data(root: Element, entities: "_Entities") -> Iterator[Block]:
    yield Paragraph([Run(f"{_name(root)}:")])
    yield from _told(_tree(root, entities, 0), 0)


class _Entities:
    """The texts that a document's own declarations give names to."""

    def __init__(self, root: Element) -> None:
        declared = root.getroottree().docinfo.internalDTD
        self._texts = {
            entity.name: entity.content
            for entity in (declared.iterentities() if declared is not None else ())
            if entity.content and "&" not in entity.content and len(entity.content) <= _LONGEST_ENTITY
        }
        self._left = _MOST_ENTITIES

    def text(self, reference: Element) -> str:
        self._left -= 1
        return self._texts.get(getattr(reference, "name", ""), "") if self._left >= 0 else ""


def _is_prose(root: Element) -> bool:
    """Whether words stand beside elements anywhere: then it is a text, else data."""
    return any(
        len(element) and _has_words(element) and any(map(local, element)) for element in root.iter(etree.Element)
    )


def _has_words(element: Element) -> bool:
    """Beside its children."""
    return any(words and words.strip() for words in [element.text, *(one.tail for one in element)])


def _is_leaf(element: Element) -> bool:
    """Whether it is a text, with or without words marked up in it."""
    if not any(local(one) for one in element):
        return True
    return _has_words(element)


def _text(element: Element, entities: _Entities) -> str:
    words = [element.text or ""]
    for one in element:
        if local(one) and local(one) not in _UNREAD:
            words.append(_text(one, entities))
        elif not local(one):
            words.append(entities.text(one))
        words.append(one.tail or "")
    return "".join(words)


def _prose(element: Element, entities: _Entities, level: int) -> Iterator[Block]:
    name = local(element).lower()
    if not name or name in _UNREAD or level > _DEEPEST:
        return
    if name in _TITLES:
        yield Heading(max(level, 1), [Run(_text(element, entities))])
    elif name in ("table", "informaltable", "tgroup") and (rows := [*_rows(element, entities)]):
        yield Table(rows)
    elif name in ("li", "listitem", "item") and _is_leaf(element):
        yield Item([Run(_text(element, entities))])
    elif _is_leaf(element):
        yield Paragraph([Run(_text(element, entities))])
    else:
        for one in element:
            yield from _prose(one, entities, level + (name in _SECTIONS))


def _rows(table: Element, entities: _Entities) -> Iterator[list[list[Block]]]:
    for row in table.iter():
        if local(row) in ("tr", "row"):
            yield [[Paragraph([Run(_text(cell, entities))])] for cell in row if local(cell)]


def _tree(element: Element, entities: _Entities, depth: int) -> "Tree":
    """An element's attributes and children as fields; those of one name as a list."""
    if not len(element) and not element.attrib:
        return " ".join((element.text or "").split())
    inside = [one for one in element if local(one) and local(one) not in _UNREAD]
    attributes = {
        name.rpartition("}")[2]: value
        for name, value in element.items()
        if not name.startswith("{http://www.w3.org/2001")
    }
    if depth > _DEEPEST or (not inside and not attributes):
        return " ".join(_text(element, entities).split())
    fields: dict[str, Tree] = dict(attributes)
    if words := " ".join((element.text or "").split()):
        fields[""] = words
    named: dict[str, list[Tree]] = {}
    for one in inside:
        named.setdefault(_name(one), []).append(_tree(one, entities, depth + 1))
    for name, values in named.items():
        fields[name] = values[0] if len(values) == 1 else values
    if len(fields) == 1 and not attributes and isinstance(only := next(iter(fields.values())), list):
        return only
    return fields


def _name(element: Element) -> str:
    return local(element)
