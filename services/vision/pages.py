"""What a file's pages say, as they are told to the caller. Pure, but for the parsers that it asks."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from uuid import UUID

from engines.extraction import PageImage
from engines.extraction.parsers import Parsers
from engines.extraction.reading import Piece
from engines.vision import PageText
from engines.vision.layout import page_text
from schemas.errors import CradleError, Permanent
from services.problems import details
from services.vision.wire import ErrorAnswered, LineAnswered, PageAnswered

PDF = "application/pdf"


async def pages(parsers: Parsers, job: UUID, file: bytes, *, dpi: int) -> AsyncGenerator[Piece | PageImage, None]:
    """A file's pages in order: those with text of their own as it is, the others as pictures of them.

    Raises Permanent `document.*`; `document.type` for what is neither a PDF nor a picture.
    """
    kind = (await parsers.probe(job, file, "")).media_type
    if kind != PDF and not kind.startswith("image/"):
        raise Permanent("document.type", kind=kind)
    own = list((await parsers.readable(job, file, kind)).pieces)
    async with aclosing(parsers.pictures(job, file, kind, dpi=dpi)) as pictures:
        async for picture in pictures:
            while own and (own[0].page or 1) < picture.number:
                yield own.pop(0)
            yield picture
    for piece in own:
        yield piece


def own_page(file: int, piece: Piece) -> PageAnswered:
    return PageAnswered(file=file, page=piece.page or 1, text=piece.text, recognised=False)


def recognised_page(file: int, number: int, found: PageText, *, min_confidence: float) -> PageAnswered:
    text, spans = page_text(found)
    return PageAnswered(
        file=file,
        page=number,
        text=text,
        recognised=True,
        confidence=found.confidence,
        doubtful=bool(text) and found.confidence < min_confidence,
        width=found.width,
        height=found.height,
        rotation=found.rotation,
        lines=[
            LineAnswered(text=text[start:end], start=start, end=end, box=line.box, confidence=line.confidence)
            for line, (start, end) in zip(found.lines, spans, strict=True)
        ],
    )


def failed(file: int, page: int | None, error: CradleError) -> ErrorAnswered:
    return ErrorAnswered(file=file, page=page, **details(error))
