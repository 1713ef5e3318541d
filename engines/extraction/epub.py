"""EPUB: its chapters in reading order, each an HTML page; the book's own contents page is left out."""

from typing import Final
from urllib.parse import unquote

from engines.extraction import html
from engines.extraction.blocks import Block, write
from engines.extraction.dates import first_day
from engines.extraction.kinds import in_words
from engines.extraction.packages import Element, Package, child, children, descendants, local, offspring
from engines.extraction.reading import Reading
from schemas.errors import Permanent

_CONTAINER: Final = "META-INF/container.xml"
_LOCKS: Final = "META-INF/encryption.xml"
_FONT_LOCKS: Final = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
"""Fonts are often scrambled; the book can still be read."""
_PAGES: Final = ("application/xhtml+xml", "text/html", "application/x-dtbook+xml")


def read(data: bytes, media_type: str) -> Reading:
    package = Package(data, media_type)
    if is_locked(package):
        raise Permanent("document.encrypted", kind=in_words(media_type))
    root = child(package.xml(_CONTAINER), "rootfiles", "rootfile")
    if root is None:
        raise Permanent("document.broken", kind=media_type)
    name = str(root.get("full-path", ""))
    book = package.xml(name)
    blocks = [block for page in _pages(book, name, package) for block in _blocks(package, page)]
    said: dict[str, str] = {}
    for one in offspring(child(book, "metadata")):
        said.setdefault(one.get("property") or local(one), one.text or "")
    return Reading(
        [write(blocks)], title=said.get("title"), date=first_day(said.get("dcterms:modified"), said.get("date"))
    )


def is_locked(package: Package) -> bool:
    locks = package.find(_LOCKS)
    if locks is None:
        return False
    methods = (one.get("Algorithm", "") for one in descendants(locks, "EncryptionMethod"))
    return any(method not in _FONT_LOCKS for method in methods)


def _pages(book: Element, name: str, package: Package) -> list[str]:
    """The parts of the spine, in order."""
    folder = name.rpartition("/")[0]
    items = {item.get("id"): item for item in children(child(book, "manifest"), "item")}
    found = []
    for reference in children(child(book, "spine"), "itemref"):
        item = items.get(reference.get("idref"))
        if item is None or item.get("media-type") not in _PAGES or "nav" in item.get("properties", "").split():
            continue
        page = _joined(folder, unquote(item.get("href", "").partition("#")[0]))
        if page in package:
            found.append(page)
    return found


def _joined(folder: str, place: str) -> str:
    parts: list[str] = []
    for part in f"{folder}/{place}".split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part not in ("", ".", ".."):
            parts.append(part)
    return "/".join(parts)


def _blocks(package: Package, page: str) -> list[Block]:
    try:
        root = html.parsed(html.decode_html(package.read(page)))
        return html.blocks(root, _styles(package, page, root))
    except Permanent as error:
        if error.code != "document.no-text":
            raise
        return []


def _styles(package: Package, page: str, root: Element) -> str:
    """What the page's links to the book's own style sheets lead to."""
    folder = page.rpartition("/")[0]
    links = [link.get("href") or "" for link in root.iter("link") if "stylesheet" in (link.get("rel") or "")]
    names = [_joined(folder, unquote(link)) for link in links]
    return "\n".join(package.read(name).decode(errors="replace") for name in names if name in package)
