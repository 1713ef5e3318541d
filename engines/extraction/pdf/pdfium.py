"""The one place that calls PDFium: a document's pages as plain values, and as pictures.

PDFium is one library for the whole process and knows no threads, so each call here holds its lock. Its handles are
passed as plain addresses, which makes a call twice as fast as with their types, and a page needs thousands.
"""

import ctypes
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise, repeat
from math import hypot, sqrt
from threading import RLock
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pypdfium2 import raw

from engines.extraction import PageImage
from engines.extraction.kinds import in_words
from schemas.errors import Permanent

_KIND: Final = in_words("application/pdf")
MOST_PIXELS: Final = 26_000_000
"""Of a drawn page: A3 at 360 dpi, 78 MB. A larger one is drawn at fewer dots per inch."""
_LONGEST_SIDE: Final = 12_000
MOST_PAGES: Final = 20_000
MOST_CHARACTERS: Final = 150_000
"""Of a page; a dense one has 10,000."""
MOST_OBJECTS: Final = 300_000
"""Of a page: text, lines, pictures."""
_MOST_IMAGE_BYTES: Final = 160_000_000
"""Of a picture on a page, once decoded."""
_DEEPEST_FORM: Final = 6
_MOST_BOOKMARKS: Final = 5_000
_DEEPEST_BOOKMARK: Final = 6
_MOST_SEGMENTS: Final = 4_000
"""Of a page's paths: more than that is a drawing, no table."""
_SEGMENTS_OF_A_PATH: Final = 400

NONE: Final = -1
"""In the place of a character that is none."""
_MAY_BE_RAISED: Final = re.compile(
    r"(?<=[^\W\d_])[0-9]{1,2}(?![0-9])|(?<=[^\W_][.,;:!?)\u201d])[0-9]{1,2}(?=\s|$)|(?<!\S)[0-9]{1,2}(?=[^\W\d_])"
)
_MOST_RAISED: Final = 2_000
_LOCK: Final = RLock()
_Address = ctypes.c_void_p
_Int = ctypes.c_int
_BOLD: Final = ("bold", "black", "heavy", "semibold", "demi", "-bd", "cmbx", "ecbx", "sfbx", "nimbussanl-bold", "medi")
_FIXED_PITCH: Final = 1
_FORCED_BOLD: Final = 1 << 18
_TEXT, _PATH, _IMAGE, _SHADING, _FORM = 1, 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class Box:
    """In the page's own space: points, y upwards."""

    left: float
    bottom: float
    right: float
    top: float


@dataclass(frozen=True, slots=True)
class Run:
    """Characters drawn at once: `codes[start:end]` of their page."""

    start: int
    end: int
    size: float
    """Points, as drawn."""
    across: tuple[float, float]
    """The direction it is written in, of length 1: (1, 0) is from left to right."""
    origin: tuple[float, float]
    """Of its first character, on the baseline."""
    bold: bool
    fixed: bool
    """All characters of its font are of one width."""
    color: tuple[int, int, int]
    opacity: int
    """0: nothing is seen of it, 255: nothing behind it."""
    invisible: bool
    """By its render mode: neither filled nor stroked."""
    unmapped: bool
    """Its font does not say which characters its glyphs are."""
    depth: int
    """What is drawn later has a greater one. -1 if unknown."""


@dataclass(frozen=True, slots=True)
class Fill:
    """An area filled with one color, or a picture, whose colors are not known."""

    box: Box
    color: tuple[int, int, int] | None
    depth: int


@dataclass(frozen=True, slots=True)
class Content:
    """A page."""

    box: Box
    rotation: int
    """Degrees clockwise by which it is turned to be shown: 0, 90, 180 or 270."""
    codes: list[int] = field(repr=False)
    boxes: NDArray[np.float64] = field(repr=False)
    """Four numbers a character: left, top, right, bottom."""
    runs: list[Run] = field(repr=False)
    raised: frozenset[int] = field(repr=False)
    """Which characters their font itself draws above the line."""
    lines: list[Box] = field(repr=False)
    """Drawn lines and the edges of drawn boxes that run along the page; one of a box's dimensions is about 0."""
    fills: list[Fill] = field(repr=False)
    images: list[Box] = field(repr=False)
    paths: int
    """How many shapes are drawn."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A bookmark."""

    level: int
    title: str
    page: int


class Document:
    """An open file. Raises Permanent `document.broken`, `document.encrypted` or `document.costly`."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        with _LOCK:
            self._handle = _load_document(data, len(data), None)
            if not self._handle:
                locked = _last_error() in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY)
                raise Permanent("document.encrypted", kind="a PDF") if locked else _broken()
            self.pages = _count_pages(self._handle)
            if not 0 < self.pages <= MOST_PAGES:
                self.close()
                raise Permanent("document.costly", limit=f"{MOST_PAGES} pages") if self.pages > 0 else _broken()
        self._fonts: dict[int, tuple[bool, bool]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        with _LOCK:
            if self._handle:
                _close_document(self._handle)
                self._handle = None

    def said(self, key: str) -> str:
        """What the information dictionary says of `Title`, `ModDate`, ...; empty if nothing."""
        with _LOCK:
            size = _meta_text(self._handle, key.encode(), None, 0)
            if not 2 < size < 64 * 1024:
                return ""
            buffer = ctypes.create_string_buffer(size)
            _meta_text(self._handle, key.encode(), buffer, size)
            return buffer.raw[: size - 2].decode("utf-16-le", errors="replace")

    def outline(self) -> list[Entry]:
        """Its bookmarks, in order; those that lead nowhere are left out."""
        found: list[Entry] = []
        seen: set[int] = set()

        def walk(parent: int | None, level: int) -> None:
            entry = _first_bookmark(self._handle, parent)
            while entry and entry not in seen and len(seen) < _MOST_BOOKMARKS:
                seen.add(entry)
                page = _destination_page(self._handle, _bookmark_destination(self._handle, entry) or None)
                if page >= 0:
                    found.append(Entry(level, _bookmark_title(entry), page + 1))
                if level < _DEEPEST_BOOKMARK:
                    walk(entry, level + 1)
                entry = _next_bookmark(self._handle, entry)

        with _LOCK:
            walk(None, 1)
        return found

    def content(self, number: int) -> Content:
        """The page `number`, from 1."""
        with _LOCK, _Page(self._handle, number) as page:
            return self._content(page)

    def text(self, number: int) -> tuple[list[int], int]:
        """The page's characters in the order in which they are drawn, and how many of them have no unicode map."""
        with _LOCK, _Page(self._handle, number) as page, _TextPage(page) as (text, count):
            codes = _codes(text, count)
            return codes, sum(map(_map_error, repeat(text), range(0, count, _sampled(count)))) * _sampled(count)

    def draw(self, number: int, dpi: int) -> PageImage:
        """The page on white, at `dpi` or as many as keep it below MOST_PIXELS."""
        with _LOCK, _Page(self._handle, number) as page:
            for _, kind, handle, _ in _objects(page):
                if kind == _IMAGE and _image_bytes(handle) > _MOST_IMAGE_BYTES:
                    raise Permanent("document.costly", limit=f"{_MOST_IMAGE_BYTES} bytes a picture")
            return _drawn(page, number, dpi)

    def _content(self, page: int) -> Content:
        shapes = _Shapes()
        depths: dict[int, int] = {}
        for depth, (handle_depth, kind, handle, matrix) in enumerate(_objects(page)):
            if kind == _TEXT:
                depths[handle] = depth
            else:
                shapes.add(kind, handle, matrix, depth, within=handle_depth)
        with _TextPage(page) as (text, count):
            codes = _codes(text, count)
            corners = (ctypes.c_float * (4 * count))()
            start = ctypes.addressof(corners)
            list(map(_loose_box, repeat(text), range(count), range(start, start + 16 * count, 16)))
            handles = list(map(_text_object, repeat(text), range(count)))
            runs = [
                self._run(text, handle, first, end, depths.get(handle, -1)) for handle, first, end in _spans(handles)
            ]
            raised = _raised(text, codes, runs)
        return Content(
            _page_box(page),
            _rotation(page) % 4 * 90,
            codes,
            np.frombuffer(memoryview(corners), np.float32).reshape(-1, 4).astype(np.float64),
            runs,
            raised,
            shapes.lines,
            shapes.fills,
            shapes.images,
            shapes.paths,
        )

    def _run(self, text: int, handle: int, start: int, end: int, depth: int) -> Run:
        matrix = (ctypes.c_float * 6)()
        _char_matrix(text, start, matrix)
        a, b, c, d = matrix[:4]
        length = hypot(a, b) or 1.0
        x, y = ctypes.c_double(), ctypes.c_double()
        _char_origin(text, start, ctypes.byref(x), ctypes.byref(y))
        mode = _render_mode(handle)
        stroked = mode in (1, 5)
        red, green, blue, opacity = (ctypes.c_uint() for _ in range(4))
        known = (_stroke_color if stroked else _fill_color)(handle, *map(ctypes.byref, (red, green, blue, opacity)))
        bold, fixed = self._font(handle)
        return Run(
            start, end,
            size=abs(_font_size(text, start)) * (hypot(c, d) or 1.0),
            across=(a / length, b / length),
            origin=(x.value, y.value),
            bold=bold or mode == 2,
            fixed=fixed,
            color=(red.value, green.value, blue.value) if known else (0, 0, 0),
            opacity=opacity.value if known else 255,
            invisible=mode in (3, 7),
            unmapped=bool(_map_error(text, start) and _map_error(text, end - 1)),
            depth=depth,
        )  # fmt: skip

    def _font(self, handle: int) -> tuple[bool, bool]:
        """Is it bold, and of fixed pitch?"""
        font = _object_font(handle)
        if not font:
            return False, False
        if font not in self._fonts:
            name = ctypes.create_string_buffer(128)
            _font_name(font, name, 128)
            flags = max(_font_flags(font), 0)
            plain = name.value.decode("latin-1").lower()
            bold = bool(flags & _FORCED_BOLD) or _font_weight(font) >= 600 or any(part in plain for part in _BOLD)
            self._fonts[font] = bold, bool(flags & _FIXED_PITCH) or "mono" in plain or "courier" in plain
        return self._fonts[font]


class _Shapes:
    """What is drawn beside text."""

    def __init__(self) -> None:
        self.lines: list[Box] = []
        self.fills: list[Fill] = []
        self.images: list[Box] = []
        self.paths = 0
        self._segments = 0

    def add(self, kind: int, handle: int, matrix: "_Matrix", depth: int, *, within: int) -> None:
        edges = (ctypes.c_float * 4)()
        base = ctypes.addressof(edges)
        if not _bounds(handle, base, base + 4, base + 8, base + 12):
            return
        box = matrix.box(*edges)
        if kind == _PATH:
            self.paths += 1
            self._add_path(handle, matrix, box, depth)
        elif kind == _IMAGE:
            self.images.append(box)
            self.fills.append(Fill(box, None, depth))
        elif kind == _SHADING:
            self.fills.append(Fill(box, None, depth))

    def _add_path(self, handle: int, matrix: "_Matrix", box: Box, depth: int) -> None:
        filled, stroked = _Int(), _Int()
        _draw_mode(handle, ctypes.byref(filled), ctypes.byref(stroked))
        thin = min(box.right - box.left, box.top - box.bottom) < 3.5
        if filled.value and not thin:
            color = [ctypes.c_uint() for _ in range(4)]
            known = _fill_color(handle, *map(ctypes.byref, color)) and color[3].value > 250
            if known or not color[3].value:
                self.fills.append(Fill(box, (color[0].value, color[1].value, color[2].value), depth))
        if thin and (filled.value or stroked.value):
            self.lines.append(box)
        elif filled.value or stroked.value:
            self.lines += self._edges(handle, matrix)

    def _edges(self, handle: int, matrix: "_Matrix") -> Iterator[Box]:
        count = _count_segments(handle)
        self._segments += count
        if not 0 < count <= _SEGMENTS_OF_A_PATH or self._segments > _MOST_SEGMENTS:
            return
        own = matrix.of(handle)
        before = first = (0.0, 0.0)
        for number in range(count):
            segment = _path_segment(handle, number)
            point = (ctypes.c_float * 2)()
            base = ctypes.addressof(point)
            _segment_point(segment, base, base + 4)
            here = own.point(*point)
            kind = _segment_type(segment)
            if kind == raw.FPDF_SEGMENT_MOVETO:
                first = here
            elif kind == raw.FPDF_SEGMENT_LINETO:
                yield from _straight(before, here)
            if _segment_closes(segment):
                yield from _straight(here, first)
            before = here


def _straight(one: tuple[float, float], other: tuple[float, float]) -> Iterator[Box]:
    (x0, y0), (x1, y1) = one, other
    if (abs(x0 - x1) < 1) != (abs(y0 - y1) < 1):
        yield Box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


@dataclass(frozen=True, slots=True)
class _Matrix:
    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 1.0
    e: float = 0.0
    f: float = 0.0

    def point(self, x: float, y: float) -> tuple[float, float]:
        return self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f

    def box(self, left: float, bottom: float, right: float, top: float) -> Box:
        corners = [self.point(x, y) for x in (left, right) for y in (bottom, top)]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        return Box(min(xs), min(ys), max(xs), max(ys))

    def of(self, handle: int) -> "_Matrix":
        """That of an object which is drawn under this one."""
        numbers = (ctypes.c_float * 6)()
        _object_matrix(handle, numbers)
        a, b, c, d, e, f = numbers
        x, y = self.point(e, f)
        return _Matrix(
            self.a * a + self.c * b, self.b * a + self.d * b, self.a * c + self.c * d, self.b * c + self.d * d, x, y
        )


class _Page:
    def __init__(self, document: int | None, number: int) -> None:
        self._handle: int = _load_page(document, number - 1)
        if not self._handle:
            raise _broken()

    def __enter__(self) -> int:
        return self._handle

    def __exit__(self, *_: object) -> None:
        _close_page(self._handle)


class _TextPage:
    def __init__(self, page: int) -> None:
        self._handle = _load_text(page)
        if not self._handle:
            raise _broken()

    def __enter__(self) -> tuple[int, int]:
        count = max(_count_characters(self._handle), 0)
        if count > MOST_CHARACTERS:
            _close_text(self._handle)
            raise Permanent("document.costly", limit=f"{MOST_CHARACTERS} characters a page")
        return self._handle, count

    def __exit__(self, *_: object) -> None:
        _close_text(self._handle)


def _objects(page: int) -> Iterator[tuple[int, int, int, _Matrix]]:
    """(how deep in forms, kind, handle, what its form is drawn under), in the order of drawing."""
    left = MOST_OBJECTS

    def walk(owner: int, count: int, get: Callable[[int, int], int], matrix: _Matrix, depth: int) -> Iterator[Any]:
        nonlocal left
        left -= count
        if left < 0:
            raise Permanent("document.costly", limit=f"{MOST_OBJECTS} objects a page")
        for number in range(count):
            handle = get(owner, number)
            kind = _object_type(handle)
            if kind != _FORM:
                yield depth, kind, handle, matrix
            elif depth < _DEEPEST_FORM:
                yield from walk(handle, max(_count_in_form(handle), 0), _form_object, matrix.of(handle), depth + 1)

    yield from walk(page, max(_count_objects(page), 0), _page_object, _Matrix(), 0)


def _codes(text: int, count: int) -> list[int]:
    """All characters at once, or one by one where the text leaves some out. One of two surrogates stands first; NONE
    takes the second's place."""
    together = (ctypes.c_uint16 * (count + 1))()
    if count and _characters(text, 0, count, together) == count + 1:
        codes = list(together)[:count]
    else:
        codes = list(map(_unicode, repeat(text), range(count)))
    if max(codes, default=0) >= 0xD800:
        for place, (high, low) in enumerate(pairwise(codes)):
            if 0xD800 <= high < 0xDC00 <= low < 0xE000:
                codes[place : place + 2] = [0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00, NONE]
    return codes


def _raised(text: int, codes: list[int], runs: list[Run]) -> frozenset[int]:
    """Digits that a font draws above the line, as for notes and exponents: which, only their ink tells."""
    shown = "".join(chr(code) if 0x20 <= code < 0x10000 else " " for code in codes)
    places = [place for found in _MAY_BE_RAISED.finditer(shown) for place in range(*found.span())]
    starts = [run.start for run in runs]
    ink = [ctypes.c_double() for _ in range(4)]
    raised: set[int] = set()
    for place in places[:_MOST_RAISED]:
        run = runs[max(bisect_right(starts, place) - 1, 0)]
        if run.start <= place < run.end and run.across[0] > 0.9 and _ink_box(text, place, *map(ctypes.byref, ink)):
            bottom = ink[2].value
            if bottom > run.origin[1] + 0.2 * run.size:
                raised.add(place)
    return frozenset(raised)


def _spans(handles: list[int]) -> Iterator[tuple[int, int, int]]:
    """(handle, start, end) of stretches of one object. What PDFium made up, spaces and line ends, has none."""
    start = 0
    for end in range(1, len(handles) + 1):
        if end == len(handles) or handles[end] != handles[start]:
            if handles[start]:
                yield handles[start], start, end
            start = end


def _sampled(count: int) -> int:
    """Every how manieth character is asked for its map: 250 a page tell enough."""
    return max(1, count // 250)


def _page_box(page: int) -> Box:
    corners = (ctypes.c_float * 4)()
    _bounding_box(page, corners)
    left, top, right, bottom = corners
    return Box(min(left, right), min(bottom, top), max(left, right), max(bottom, top))


def _image_bytes(handle: int) -> int:
    width, height = ctypes.c_uint(), ctypes.c_uint()
    if not _image_size(handle, ctypes.byref(width), ctypes.byref(height)):
        return 0
    return width.value * height.value


def _drawn(page: int, number: int, dpi: int) -> PageImage:
    width, height = max(_page_width(page), 1.0), max(_page_height(page), 1.0)
    scale = min(dpi / 72, sqrt(MOST_PIXELS / (width * height)), _LONGEST_SIDE / max(width, height))
    across, down = max(int(width * scale), 1), max(int(height * scale), 1)
    bitmap = _new_bitmap(across, down, raw.FPDFBitmap_BGR, None, 0)
    if not bitmap:
        raise Permanent("document.costly", limit=f"{MOST_PIXELS} pixels a page")
    try:
        _fill_bitmap(bitmap, 0, 0, across, down, 0xFFFFFFFF)
        flags = raw.FPDF_ANNOT | raw.FPDF_REVERSE_BYTE_ORDER | raw.FPDF_RENDER_LIMITEDIMAGECACHE
        _render(bitmap, page, 0, 0, across, down, 0, flags)
        stride, start = _bitmap_stride(bitmap), _bitmap_buffer(bitmap)
        if stride == 3 * across:
            pixels = ctypes.string_at(start, stride * down)
        else:
            pixels = b"".join(ctypes.string_at(start + row * stride, 3 * across) for row in range(down))
    finally:
        _destroy_bitmap(bitmap)
    return PageImage(number, across, down, pixels, max(round(scale * 72), 1))


def _bookmark_title(entry: int) -> str:
    size = min(_title_of(entry, None, 0), 4096)
    if size <= 2:
        return ""
    buffer = ctypes.create_string_buffer(4096)
    _title_of(entry, buffer, 4096)
    return buffer.raw[: size - 2].decode("utf-16-le", errors="replace")


def _broken() -> Permanent:
    return Permanent("document.broken", kind=_KIND)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    return ctypes.CFUNCTYPE(result, *arguments)(ctypes.cast(getattr(raw, name), _Address).value or 0)


_load_document = _function("FPDF_LoadMemDocument64", _Address, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p)
_close_document = _function("FPDF_CloseDocument", None, _Address)
_last_error = _function("FPDF_GetLastError", ctypes.c_ulong)
_count_pages = _function("FPDF_GetPageCount", _Int, _Address)
_meta_text = _function("FPDF_GetMetaText", ctypes.c_ulong, _Address, ctypes.c_char_p, _Address, ctypes.c_ulong)
_first_bookmark = _function("FPDFBookmark_GetFirstChild", _Address, _Address, _Address)
_next_bookmark = _function("FPDFBookmark_GetNextSibling", _Address, _Address, _Address)
_title_of = _function("FPDFBookmark_GetTitle", ctypes.c_ulong, _Address, _Address, ctypes.c_ulong)
_bookmark_destination = _function("FPDFBookmark_GetDest", _Address, _Address, _Address)
_destination_page = _function("FPDFDest_GetDestPageIndex", _Int, _Address, _Address)
_load_page = _function("FPDF_LoadPage", _Address, _Address, _Int)
_close_page = _function("FPDF_ClosePage", None, _Address)
_page_width = _function("FPDF_GetPageWidthF", ctypes.c_float, _Address)
_page_height = _function("FPDF_GetPageHeightF", ctypes.c_float, _Address)
_bounding_box = _function("FPDF_GetPageBoundingBox", _Int, _Address, _Address)
_rotation = _function("FPDFPage_GetRotation", _Int, _Address)
_count_objects = _function("FPDFPage_CountObjects", _Int, _Address)
_page_object = _function("FPDFPage_GetObject", _Address, _Address, _Int)
_count_in_form = _function("FPDFFormObj_CountObjects", _Int, _Address)
_form_object = _function("FPDFFormObj_GetObject", _Address, _Address, ctypes.c_ulong)
_object_type = _function("FPDFPageObj_GetType", _Int, _Address)
_object_matrix = _function("FPDFPageObj_GetMatrix", _Int, _Address, _Address)
_bounds = _function("FPDFPageObj_GetBounds", _Int, _Address, _Address, _Address, _Address, _Address)
_fill_color = _function("FPDFPageObj_GetFillColor", _Int, *[_Address] * 5)
_stroke_color = _function("FPDFPageObj_GetStrokeColor", _Int, *[_Address] * 5)
_draw_mode = _function("FPDFPath_GetDrawMode", _Int, _Address, _Address, _Address)
_count_segments = _function("FPDFPath_CountSegments", _Int, _Address)
_path_segment = _function("FPDFPath_GetPathSegment", _Address, _Address, _Int)
_segment_point = _function("FPDFPathSegment_GetPoint", _Int, _Address, _Address, _Address)
_segment_type = _function("FPDFPathSegment_GetType", _Int, _Address)
_segment_closes = _function("FPDFPathSegment_GetClose", _Int, _Address)
_image_size = _function("FPDFImageObj_GetImagePixelSize", _Int, _Address, _Address, _Address)
_load_text = _function("FPDFText_LoadPage", _Address, _Address)
_close_text = _function("FPDFText_ClosePage", None, _Address)
_count_characters = _function("FPDFText_CountChars", _Int, _Address)
_characters = _function("FPDFText_GetText", _Int, _Address, _Int, _Int, _Address)
_unicode = _function("FPDFText_GetUnicode", ctypes.c_uint, _Address, _Int)
_map_error = _function("FPDFText_HasUnicodeMapError", _Int, _Address, _Int)
_loose_box = _function("FPDFText_GetLooseCharBox", _Int, _Address, _Int, _Address)
_ink_box = _function("FPDFText_GetCharBox", _Int, _Address, _Int, *[_Address] * 4)
_text_object = _function("FPDFText_GetTextObject", _Address, _Address, _Int)
_char_matrix = _function("FPDFText_GetMatrix", _Int, _Address, _Int, _Address)
_char_origin = _function("FPDFText_GetCharOrigin", _Int, _Address, _Int, _Address, _Address)
_font_size = _function("FPDFText_GetFontSize", ctypes.c_double, _Address, _Int)
_render_mode = _function("FPDFTextObj_GetTextRenderMode", _Int, _Address)
_object_font = _function("FPDFTextObj_GetFont", _Address, _Address)
_font_name = _function("FPDFFont_GetBaseFontName", ctypes.c_ulong, _Address, ctypes.c_char_p, ctypes.c_ulong)
_font_flags = _function("FPDFFont_GetFlags", _Int, _Address)
_font_weight = _function("FPDFFont_GetWeight", _Int, _Address)
_new_bitmap = _function("FPDFBitmap_CreateEx", _Address, _Int, _Int, _Int, _Address, _Int)
_fill_bitmap = _function("FPDFBitmap_FillRect", _Int, _Address, _Int, _Int, _Int, _Int, ctypes.c_uint32)
_bitmap_stride = _function("FPDFBitmap_GetStride", _Int, _Address)
_bitmap_buffer = _function("FPDFBitmap_GetBuffer", _Address, _Address)
_destroy_bitmap = _function("FPDFBitmap_Destroy", None, _Address)
_render = _function("FPDF_RenderPageBitmap", None, _Address, _Address, *[_Int] * 6)


def _no_system_fonts() -> Any:
    """A font that is not embedded is drawn with one of PDFium's own, on every machine, and no file is looked for."""
    info = raw.FPDF_SYSFONTINFO(version=1)
    raw.FPDF_SetSystemFontInfo(ctypes.byref(info))
    return info  # PDFium keeps its address


_FONTS: Final = _no_system_fonts()
