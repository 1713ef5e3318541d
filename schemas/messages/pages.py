"""`ocr-done`: a whole document whose pictures of text were recognised."""

from typing import Annotated, ClassVar

from pydantic import Field

from schemas.messages._base import Message, Number, Part
from schemas.messages.documents import Document


class RecognisedPage(Part):
    number: Number
    text: str
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    """Mean confidence of the recognised words; None where the page's own text was used."""


class DocumentRecognised(Message):
    TYPE: ClassVar[str] = "cradle.pages.v1"

    document: Document
    pages: tuple[RecognisedPage, ...] = ()
    object: str | None = None
    """Staging name of the sealed pages, where they are too large for a record; then `pages` is empty."""
