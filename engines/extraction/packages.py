"""Office files: ZIP packages of XML parts, read with a bound on what they unpack to, and XML that reaches for nothing.

No part is ever looked for outside the package, and no entity is ever expanded.
"""

import io
import posixpath
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lxml import etree

from engines.extraction.kinds import in_words
from schemas.errors import Permanent

Element = Any
"""lxml's element, which has no types of its own."""
LARGEST_PART: Final = 64 * 1024 * 1024
"""Bytes of XML that are parsed as a whole: its tree takes about five times as much."""
LARGEST_TOGETHER: Final = 256 * 1024 * 1024
_RELATIONSHIPS_TAIL: Final = ".rels"
_NO_MEMORY: Final = 2
"""libxml2's XML_ERR_NO_MEMORY."""


def parser(*, recover: bool = False, blank: bool = True) -> Any:
    return etree.XMLParser(
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        remove_comments=True,
        remove_pis=True,
        remove_blank_text=not blank,
        recover=recover,
        huge_tree=False,
    )


def parsed(data: bytes, kind: str, *, recover: bool = False) -> Element:
    """The root. Raises Permanent `document.broken`, naming `kind`, or `document.costly`."""
    if len(data) > LARGEST_PART:
        raise Permanent("document.costly", limit="64 MiB of XML in one part")
    try:
        root = etree.fromstring(data, parser(recover=recover))
    except etree.XMLSyntaxError as error:
        raise failure(error, kind) from None
    except ValueError:
        raise Permanent("document.broken", kind=kind) from None
    if root is None:
        raise Permanent("document.broken", kind=kind)
    return root


def failure(error: etree.XMLSyntaxError, kind: str) -> Exception:
    return MemoryError() if error.code == _NO_MEMORY else Permanent("document.broken", kind=kind)


def local(element: Element) -> str:
    """A tag without its namespace, since one format is written in several. Empty for an entity or the like."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def attribute(element: Element | None, name: str, default: str | None = None) -> str | None:
    """An attribute by its name without a namespace."""
    if element is None:
        return default
    plain = element.get(name)
    if plain is not None:
        return str(plain)
    for full, value in element.items():
        if full.rpartition("}")[2] == name:
            return str(value)
    return default


def child(element: Element | None, *names: str) -> Element | None:
    """The first child of that name, then its first child of the next, and so on."""
    for name in names:
        if element is None:
            return None
        element = next((one for one in element if local(one) == name), None)
    return element


def offspring(element: Element | None) -> Iterable[Element]:
    """All children; none of no element."""
    return () if element is None else element


def children(element: Element | None, name: str) -> list[Element]:
    return [] if element is None else [one for one in element if local(one) == name]


def descendants(element: Element, name: str) -> Iterator[Element]:
    """In document order."""
    for one in element.iter():
        if local(one) == name:
            yield one


@dataclass(frozen=True, slots=True)
class Relation:
    kind: str
    """The last word of its type: `styles`, `slideLayout`."""
    target: str
    """A part's name. What lies outside the package is left out."""


class Package:
    """A ZIP whose parts are read one by one. What they unpack to is counted."""

    def __init__(self, data: bytes, kind: str) -> None:
        """`kind`: the media type, for errors. Raises Permanent `document.broken`."""
        self.kind = kind
        self._left = LARGEST_TOGETHER
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
        except Exception:  # zipfile lets struct's and others' errors through
            raise Permanent("document.broken", kind=kind) from None
        self._names = {name.casefold(): name for name in reversed(self._zip.namelist())}

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self._names

    def read(self, name: str) -> bytes:
        """Raises Permanent `document.broken` if it is absent or damaged, `document.encrypted`, `document.costly`."""
        try:
            with self.open(name) as stream:
                data: bytes = stream.read(LARGEST_PART + 1)
        except Permanent:
            raise
        except Exception:  # zlib's, struct's, NotImplementedError of an unknown compression
            raise Permanent("document.broken", kind=self.kind) from None
        self._left -= len(data)
        if len(data) > LARGEST_PART or self._left < 0:
            raise Permanent("document.costly", limit="64 MiB in one part, or 256 MiB in all")
        return data

    def open(self, name: str) -> Any:
        """A stream of the part. Raises as `read` does, but what it unpacks to is not counted."""
        info = self._zip.NameToInfo.get(self._names.get(name.casefold(), ""))
        if info is None:
            raise Permanent("document.broken", kind=self.kind)
        if info.flag_bits & 1:
            raise Permanent("document.encrypted", kind=in_words(self.kind))
        return self._zip.open(info)

    def xml(self, name: str) -> Element:
        return parsed(self.read(name), self.kind, recover=True)

    def find(self, name: str) -> Element | None:
        """The root of a part that may be absent, or damaged, without harm to the rest."""
        if name not in self:
            return None
        try:
            return self.xml(name)
        except Permanent as error:
            if error.code != "document.broken":
                raise
            return None

    def relations(self, part: str = "") -> Mapping[str, Relation]:
        """By their ids, in order. Of the package itself without a part."""
        folder, name = posixpath.split(part)
        root = self.find(posixpath.join(folder, "_rels", name + _RELATIONSHIPS_TAIL))
        if root is None:
            return {}
        return {
            one.get("Id", ""): Relation(one.get("Type", "").rpartition("/")[2], _target(folder, one.get("Target", "")))
            for one in children(root, "Relationship")
            if one.get("TargetMode") != "External"
        }

    def main_part(self, usual: str) -> str:
        """The part that the package says is its document."""
        named = (one.target for one in self.relations().values() if one.kind == "officeDocument")
        return next((name for name in named if name in self), usual)


def _target(folder: str, target: str) -> str:
    if target.startswith("/"):
        return posixpath.normpath(target).lstrip("/")
    return posixpath.normpath(posixpath.join(folder, target)).lstrip("/")
