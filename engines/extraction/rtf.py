"""RTF: a reader of the Rich Text Format specification 1.9.1, as far as it decides what a person sees.

Groups nest, control words change the state of the group they stand in, and destinations take text elsewhere. A
destination that is not known, as an object's or a picture's data, is left out as a whole.
"""

import codecs
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

from engines.extraction.blocks import Block, Heading, Item, Note, Paragraph, Run, Table, text_of, write
from engines.extraction.reading import Reading
from engines.extraction.visibility import UNKNOWN, WHITE, is_hidden
from schemas.errors import Permanent

_TOKEN: Final = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?[0-9]{1,10})?[ ]?|\\'([0-9a-fA-F]{2})|\\([^a-zA-Z'])|([{}])|([^\\{}\r\n]+)|[\r\n]+|\\"
)
_UNREAD: Final = frozenset([
    "pict", "object", "objdata", "themedata", "colorschememapping", "latentstyles", "datastore", "listtable",
    "listoverridetable", "revtbl", "rsidtbl", "generator", "xmlnstbl", "mmathPr", "filetbl",
    "annotation", "atnid", "atnauthor", "atndate", "atnref", "atnicn", "atrfstart", "atrfend", "private",
    "stylesheet", "fonttbl", "colortbl", "nonshppict", "bkmkstart", "bkmkend", "wgrffmtfilter", "pgdsctbl",
    "pnseclvl", "xe", "tc", "rxe", "txe", "aftncn", "aftnsep", "aftnsepc", "ftnsep", "ftnsepc", "ftncn",
    "shpinst", "do", "template", "fontemb", "passwordhash", "userprops", "docvar", "falt", "panose", "background",
    "keycode", "defchp", "defpap", "comment", "hlinkbase", "company", "operator", "manager", "category",
    "subject", "author", "keywords", "doccomm", "printim", "buptim", "hlfr", "hlsrc", "hlloc", "blipuid",
    "picprop", "sp", "sn", "sv", "pnpicture", "factoidname",
])  # fmt: skip
_TEXTS: Final = {
    "tab": "\t", "line": "\n", "lbr": "\n", "emdash": "\u2014", "endash": "\u2013", "bullet": "\u2022",
    "lquote": "\u2018", "rquote": "\u2019", "ldblquote": "\u201c", "rdblquote": "\u201d", "emspace": " ",
    "enspace": " ", "qmspace": " ", "nestcell": "\t", "nestrow": "\n", "softline": "\n",
}  # fmt: skip
_SYMBOLS: Final = {b"~": "\u00a0", b"_": "-", b"\\": "\\", b"{": "{", b"}": "}", b"\n": None, b"\r": None, b"\t": "\t"}
_CHARSETS: Final = {
    0: "cp1252", 77: "mac_roman", 128: "cp932", 129: "cp949", 130: "johab", 134: "gb18030", 136: "big5hkscs",
    161: "cp1253", 162: "cp1254", 163: "cp1258", 177: "cp1255", 178: "cp1256", 186: "cp1257", 204: "cp1251",
    222: "cp874", 238: "cp1250", 255: "cp437",
}  # fmt: skip
_CODE_PAGES: Final = {10000: "mac_roman", 65001: "utf-8", 936: "gb18030", 708: "iso8859-6"}
_HEADING: Final = re.compile(r"heading ([1-9])$", re.I)
_NUMBER: Final = re.compile(r"\(?(\d{1,4}|[a-zA-Z]{1,4})(?:\.\d{1,3})*[.)]?$")
_PAGE_FIELDS: Final = ("PAGE", "NUMPAGES", "SECTIONPAGES")
_DEEPEST: Final = 1_000
_SURROGATES: Final = range(0xD800, 0xE000)


def read(data: bytes, media_type: str) -> Reading:
    document = _Document()
    document.read(data)
    return Reading([write(document.blocks())], title=document.title or None, date=document.date)


@dataclass(frozen=True, slots=True)
class _State:
    """What a group's control words have set."""

    target: str = "body"
    """Which destination takes text; empty for none."""
    is_starred: bool = False
    hidden: bool = False
    deleted: bool = False
    colour: int = 0
    behind: int | None = None
    points: float = 12.0
    font: int | None = None
    skip: int = 1
    """Characters that stand in for one `\\u`, for those who cannot read it."""
    level: int | None = None
    depth: int = 0
    is_listed: bool = False
    in_table: bool = False
    cell_behind: str | None = None


@dataclass(slots=True)
class _Flow:
    """Blocks under way: the body, a footnote, a header."""

    blocks: list[Block] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    notes: list[Block] = field(default_factory=list)
    """Called for by the paragraph at hand."""
    marker: str = ""
    cell: list[Block] = field(default_factory=list)
    row: list[list[Block]] = field(default_factory=list)
    rows: list[list[list[Block]]] = field(default_factory=list)


class _Document:
    def __init__(self) -> None:
        self._state = _State()
        self._stack: list[tuple[_State, _Flow]] = []
        self._body = _Flow()
        self._margins = {"header": _Flow(), "footer": _Flow()}
        self._flow = self._body
        self._encoding = "cp1252"
        self._fonts: dict[int, str] = {}
        self._font = 0
        self._colours: list[str | None] = []
        self._rgb: dict[str, int] = {}
        self._styles: dict[int, int] = {}
        self._style = 0
        self._shades: dict[int, int] = {}
        """Of the cells of the row at hand, by their places."""
        self._bytes = b""
        self._skipped = 0
        self._high = 0
        """Half of a character beyond U+FFFF."""
        self._notes = 0
        self._instruction = ""
        """Of the field at hand."""
        self._name = ""
        self._days: dict[str, dict[str, int]] = {}
        self._day = ""
        self.title = ""
        self._list_text = ""

    @property
    def date(self) -> str | None:
        for name in ("revtim", "creatim"):
            day = self._days.get(name, {})
            try:
                return date(day["yr"], day["mo"], day["dy"]).isoformat()
            except (KeyError, ValueError):
                continue
        return None

    def blocks(self) -> Iterator[Block]:
        yield from _once(self._margins["header"].blocks)
        yield from self._body.blocks
        yield from _once(self._margins["footer"].blocks)

    def read(self, data: bytes) -> None:
        """Raises Permanent `document.broken` where groups nest too deep."""
        position = 0
        while found := _TOKEN.match(data, position):
            position = found.end()
            word, number, byte, symbol, brace, text = found.groups()
            if byte is not None:
                self._take_bytes(bytes([int(byte, 16)]))
                continue
            if text is not None:
                self._take_bytes(text)
                continue
            self._end_bytes()
            if word is not None:
                value = None if number is None else int(number)
                if word == b"bin" and value and value > 0:
                    position += value
                else:
                    self._word(word.decode(), value)
            elif symbol is not None:
                self._symbol(symbol)
            elif brace == b"{":
                self._open()
            elif brace == b"}":
                self._close()
        self._end_bytes()
        for flow in (self._body, *self._margins.values()):
            self._flow = flow
            self._end_paragraph()
            self._end_table()

    # -- groups and characters ------------------------------------------------------------------------------------

    def _open(self) -> None:
        if len(self._stack) > _DEEPEST:
            raise Permanent("document.broken", kind="application/rtf")
        self._stack.append((self._state, self._flow))
        self._state = replace(self._state, is_starred=False)
        self._skipped = 0

    def _close(self) -> None:
        if not self._stack:
            return
        ended = self._state
        flow = self._flow
        self._state, self._flow = self._stack.pop()
        self._skipped = 0
        if ended.target == self._state.target:
            return
        if ended.target == "note":
            self._end_note(flow)
        elif ended.target in self._margins:
            above, self._flow = self._flow, flow
            self._end_paragraph()
            self._flow = above
        elif ended.target == "listtext":
            self._flow.marker, self._list_text = _marker(self._list_text), ""

    def _take_bytes(self, data: bytes) -> None:
        if self._skipped:
            skipped = min(self._skipped, len(data))
            self._skipped -= skipped
            data = data[skipped:]
        self._bytes += data

    def _end_bytes(self) -> None:
        if self._bytes:
            data, self._bytes = self._bytes, b""
            self._add(data.decode(self._fonts.get(self._state.font or 0, self._encoding), errors="replace"))

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self._state = replace(self._state, is_starred=True)
        elif symbol in (b"\n", b"\r"):
            self._end_paragraph()
        elif text := _SYMBOLS.get(symbol):
            if self._skipped:
                self._skipped -= 1
            else:
                self._add(text)

    def _add(self, text: str) -> None:
        target = self._state.target
        if target in ("body", "note", "header", "footer"):
            if not self._state.deleted:
                self._flow.runs.append(Run(text, self._is_hidden()))
        elif target == "listtext":
            self._list_text += text
        elif target == "instruction":
            self._instruction += text
        elif target == "title":
            self.title += text
        elif target in ("stylesheet", "fonttbl"):
            self._name += text
            if ";" in text:
                self._end_entry()
        elif target == "colortbl" and ";" in text:
            for _ in range(text.count(";")):
                rgb = self._rgb
                self._colours.append("".join(f"{rgb[one] & 255:02x}" for one in _RGB) if len(rgb) == 3 else None)
                self._rgb = {}

    def _end_entry(self) -> None:
        """Of a table of styles or fonts."""
        name, self._name = self._name.partition(";")[0].strip(), ""
        if self._state.target == "stylesheet":
            found = _HEADING.match(name)
            if found:
                self._styles[self._style] = int(found[1])
            elif name.lower() == "title":
                self._styles[self._style] = 1
            self._style = 0

    def _is_hidden(self) -> bool:
        state = self._state
        if state.hidden:
            return True
        behind = self._colour(state.behind) if state.behind else state.cell_behind
        if behind is None and state.in_table and self._shades:
            behind = UNKNOWN
        return is_hidden(self._colour(state.colour), behind or WHITE, points=state.points)

    def _colour(self, place: int | None) -> str | None:
        return self._colours[place] if place and 0 < place < len(self._colours) else None

    # -- control words --------------------------------------------------------------------------------------------

    def _word(self, word: str, value: int | None) -> None:
        state = self._state
        if word in _TARGETS:
            self._enter(word)
        elif state.target in _TABLES:
            self._table_word(word, value)
        elif word in _SETS:
            self._state = _SETS[word](state, value)
        elif word in _TEXTS:
            self._add(_TEXTS[word])
        elif word in self._ACTIONS:
            self._ACTIONS[word](self)
        elif word in self._VALUED:
            if value is not None:
                self._VALUED[word](self, value)
        elif state.is_starred:
            self._state = replace(state, target="")

    def _use_style(self, value: int) -> None:
        self._state = replace(self._state, level=self._styles.get(value, self._state.level))

    def _use_code_page(self, value: int) -> None:
        self._encoding = _code_page(value)

    def _shade_cell(self, value: int) -> None:
        self._shades[len(self._shades)] = value

    def _shade_paragraph(self, value: int) -> None:
        self._state = replace(self._state, cell_behind=self._colour(value))

    def _begin_result(self) -> None:
        """Of a field; a page's number is none of its text."""
        if self._instruction.strip().partition(" ")[0].upper() in _PAGE_FIELDS:
            self._state = replace(self._state, target="")

    def _begin_row(self) -> None:
        self._shades = {}

    def _use_mac(self) -> None:
        self._encoding = "mac_roman"

    def _use_dos(self) -> None:
        self._encoding = "cp437"

    def _enter(self, word: str) -> None:
        """A destination begins."""
        target = _TARGETS[word]
        inner = self._state.target
        if inner == "" or (target in ("header", "footer", "note") and inner not in ("body", "header", "footer")):
            target = ""
        if target == "instruction":
            self._instruction = ""
        if target in self._margins:
            self._flow = self._margins[target]
        elif target == "note":
            self._flow = _Flow()
        self._state = replace(self._state, target=target)
        if target in ("note", *self._margins):
            self._state = _State(target=target, skip=self._state.skip, font=self._state.font)

    def _table_word(self, word: str, value: int | None) -> None:
        target = self._state.target
        if target == "colortbl" and word in _RGB and value is not None:
            self._rgb[word] = value
        elif target == "fonttbl":
            if word == "f" and value is not None:
                self._font = value
            elif word == "fcharset" and value is not None and value in _CHARSETS:
                self._fonts[self._font] = _CHARSETS[value] if value else self._encoding
        elif target == "stylesheet":
            if word == "s" and value is not None:
                self._style = value
            elif word == "outlinelevel" and value is not None and value < 9:
                self._styles[self._style] = value + 1
        elif word in ("creatim", "revtim"):
            self._day = word
        elif word in ("yr", "mo", "dy") and value is not None:
            self._days.setdefault(self._day, {})[word] = value
        elif target == "title" and word == "u" and value is not None:
            self._unicode(value)

    def _unicode(self, value: int) -> None:
        code = value % 65_536
        self._skipped = self._state.skip
        if code in _SURROGATES:
            if code < 0xDC00:
                self._high = code
                return
            code = 0x10000 + ((self._high - 0xD800) << 10) + code - 0xDC00 if self._high else 0xFFFD
            self._high = 0
        self._add(chr(code))

    # -- paragraphs, rows, notes ----------------------------------------------------------------------------------

    def _end_paragraph(self) -> None:
        flow, state = self._flow, self._state
        runs, flow.runs = flow.runs, []
        marker, flow.marker = flow.marker, ""
        notes, flow.notes = flow.notes, []
        into = flow.cell if state.in_table else flow.blocks
        if not state.in_table:
            self._end_table()
        if text_of(runs).strip():
            if state.level is not None:
                is_numbered = marker not in ("", "-")
                into.append(Heading(state.level, [Run(f"{marker} "), *runs] if is_numbered else runs))
            elif marker:
                into.append(Item(runs, state.depth, marker))
            else:
                into.append(Paragraph(runs))
        into += notes

    def _end_cell(self) -> None:
        self._state = replace(self._state, in_table=True)
        self._end_paragraph()
        flow = self._flow
        flow.row.append(flow.cell)
        flow.cell = []

    def _end_row(self) -> None:
        flow = self._flow
        if flow.row:
            flow.rows.append(flow.row)
            flow.row = []

    def _end_table(self) -> None:
        flow = self._flow
        if flow.cell:  # what stands in no cell
            flow.row.append(flow.cell)
            flow.cell = []
        self._end_row()
        if flow.rows:
            flow.blocks.append(Table(flow.rows))
            flow.rows = []

    def _end_note(self, flow: _Flow) -> None:
        above, self._flow = self._flow, flow
        self._end_paragraph()
        self._flow = above
        runs = [run for block in flow.blocks if not isinstance(block, Table) for run in [*block.runs, Run("\n")]]
        if text_of(runs).strip():
            self._notes += 1
            self._flow.runs.append(Run(f"[{self._notes}]"))
            self._flow.notes.append(Note(str(self._notes), runs))

    def _forget_paragraph(self) -> None:
        self._state = replace(self._state, level=None, depth=0, is_listed=False, in_table=False, cell_behind=None)

    _ACTIONS: Final[Mapping[str, Callable[["_Document"], None]]] = {
        "par": _end_paragraph,
        "sect": _end_paragraph,
        "page": _end_paragraph,
        "cell": _end_cell,
        "row": _end_row,
        "pard": _forget_paragraph,
        "fldrslt": _begin_result,
        "trowd": _begin_row,
        "mac": _use_mac,
        "pc": _use_dos,
    }
    _VALUED: Final[Mapping[str, Callable[["_Document", int], None]]] = {
        "u": _unicode,
        "s": _use_style,
        "ansicpg": _use_code_page,
        "clcbpat": _shade_cell,
        "cbpat": _shade_paragraph,
    }


def _plain(state: _State, _: int | None) -> _State:
    return replace(state, hidden=False, deleted=False, colour=0, behind=None, points=12.0, font=None)


_RGB: Final = ("red", "green", "blue")
_TARGETS: Final = {
    **dict.fromkeys(_UNREAD, ""),
    "stylesheet": "stylesheet", "fonttbl": "fonttbl", "colortbl": "colortbl", "info": "info", "title": "title",
    "listtext": "listtext", "pntext": "listtext", "footnote": "note", "fldinst": "instruction",
    "header": "header", "headerl": "header", "headerr": "header", "headerf": "header",
    "footer": "footer", "footerl": "footer", "footerr": "footer", "footerf": "footer",
    "shptxt": "body",
}  # fmt: skip
_TABLES: Final = ("", "fonttbl", "colortbl", "stylesheet", "info", "title")
_SETS: Final[Mapping[str, Callable[[_State, int | None], _State]]] = {
    "plain": _plain,
    "v": lambda state, value: replace(state, hidden=value != 0),
    "deleted": lambda state, value: replace(state, deleted=value != 0),
    "cf": lambda state, value: replace(state, colour=value or 0),
    "cb": lambda state, value: replace(state, behind=value or None),
    "chcbpat": lambda state, value: replace(state, behind=value or None),
    "highlight": lambda state, value: replace(state, behind=value or None),
    "fs": lambda state, value: replace(state, points=12.0 if value is None else value / 2),
    "uc": lambda state, value: replace(state, skip=min(max(value or 0, 0), 8)),
    "ilvl": lambda state, value: replace(state, depth=min(max(value or 0, 0), 8)),
    "f": lambda state, value: replace(state, font=value),
    "outlinelevel": lambda state, value: replace(state, level=value + 1 if value is not None and value < 9 else None),
    "intbl": lambda state, value: replace(state, in_table=True),
}


def _code_page(number: int) -> str:
    name = _CODE_PAGES.get(number, f"cp{number}")
    try:
        return codecs.lookup(name).name
    except LookupError:
        return "cp1252"


def _marker(text: str) -> str:
    """`3.` and the like as it is; whatever else stands before an item is a bullet."""
    text = text.strip()
    return text if _NUMBER.match(text) else "-" if text else ""


def _once(blocks: list[Block]) -> Iterator[Block]:
    shown: set[str] = set()
    for block in blocks:
        text = repr(block) if isinstance(block, Table) else " ".join(text_of(block.runs).split())
        if text not in shown:
            shown.add(text)
            yield Paragraph(block.runs) if isinstance(block, Heading) else block
