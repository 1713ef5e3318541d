"""The files of a request: in parts of a form, in base64, or the body itself. They are held in memory, never on a disk,
and their names not at all.
"""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from schemas.errors import Permanent
from services.vision.wire import MOST_FILES, FilesAsked

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

KNOWN: Final = "multipart/form-data, application/json, application/pdf or image/*"


async def read_files(request: Request) -> list[bytes]:
    """Raises Permanent `request.invalid`, `request.size` or `request.type`."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    read = READERS.get("image/*" if kind.startswith("image/") else kind)
    if read is None:
        raise Permanent("request.type", known=KNOWN)
    files = await read(request)
    if not any(files):
        raise Permanent("request.invalid")
    return files


async def _from_form(request: Request) -> list[bytes]:
    """Every part is a file, however it is named."""
    _, options = parse_options_header(request.headers["content-type"])
    if b"boundary" not in options:
        raise Permanent("request.invalid")
    parts = _Parts()
    parser = MultipartParser(options[b"boundary"], parts.callbacks())
    try:
        async for piece in request.stream():
            parser.write(piece)
        parser.finalize()
    except FormParserError:
        raise Permanent("request.invalid") from None
    if not parts.whole:
        raise Permanent("request.invalid")
    return [bytes(part) for part in parts.found]


class _Parts:
    def __init__(self) -> None:
        self.found: list[bytearray] = []
        self.whole = False

    def callbacks(self) -> "MultipartCallbacks":
        return {"on_part_begin": self._begin, "on_part_data": self._add, "on_end": self._end}

    def _begin(self) -> None:
        if len(self.found) == MOST_FILES:
            raise Permanent("request.size", limit=f"{MOST_FILES} files")
        self.found.append(bytearray())

    def _add(self, data: bytes, start: int, end: int) -> None:
        self.found[-1] += data[start:end]

    def _end(self) -> None:
        self.whole = True


async def _from_json(request: Request) -> list[bytes]:
    try:
        asked = FilesAsked.model_validate_json(await request.body())
        return [_decoded(file) for file in asked.files]
    except (ValidationError, binascii.Error, ValueError):
        raise Permanent("request.invalid") from None


def _decoded(file: str) -> bytes:
    if file.startswith("data:"):
        file = file.partition(",")[2]
    return base64.b64decode(file, validate=True)


async def _from_body(request: Request) -> list[bytes]:
    return [await request.body()]


READERS: Final[Mapping[str, Callable[[Request], Awaitable[list[bytes]]]]] = {
    "multipart/form-data": _from_form,
    "application/json": _from_json,
    "application/pdf": _from_body,
    "image/*": _from_body,
}
