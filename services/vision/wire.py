"""What is asked, and what is answered page by page."""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

MOST_FILES: Final = 100
"""Of one request."""


class FilesAsked(BaseModel):
    """Beside this, files are taken as `multipart/form-data`, or one file as the body itself."""

    model_config = ConfigDict(extra="forbid")

    files: Annotated[list[str], Field(min_length=1, max_length=MOST_FILES)] = Field(
        description="PDF, PNG, JPEG, TIFF, WebP, BMP or GIF in base64, or as a `data:` URL."
    )


class LineAnswered(BaseModel):
    text: str
    start: int = Field(description="First character in the page's text.")
    end: int
    box: tuple[int, int, int, int] = Field(description="Left, top, right, bottom, in pixels of the page as it is read.")
    confidence: float


class PageAnswered(BaseModel):
    event: Literal["page"] = "page"
    file: int = Field(description="Which of the request's files, from 0.")
    page: int = Field(description="Which of the file's pages, from 1.")
    text: str
    recognised: bool = Field(description="Whether it was recognised; if not, the page's own text was used.")
    confidence: float | None = Field(None, description="Mean confidence, from 0 to 1, of a recognised page.")
    doubtful: bool = Field(False, description="Whether the confidence is less than the service asks for.")
    width: int | None = Field(None, description="Pixels of the page as it is read.")
    height: int | None = None
    rotation: int = Field(0, description="Degrees clockwise by which the page was turned to be read.")
    lines: list[LineAnswered] = Field([], description="In reading order; none for a page's own text.")


class ErrorAnswered(BaseModel):
    """A problem as RFC 9457 has them, of one page or of a whole file. The others go on."""

    model_config = ConfigDict(extra="allow")

    event: Literal["error"] = "error"
    file: int
    page: int | None = Field(None, description="null: the rest of the file cannot be read.")
    type: str
    title: str
    status: int
    detail: str
    code: str
    next: str


class EndAnswered(BaseModel):
    """Always last: an answer without it was cut short."""

    event: Literal["end"] = "end"
    files: int
    pages: int
    errors: int


Event = PageAnswered | ErrorAnswered | EndAnswered


class HealthAnswered(BaseModel):
    status: Literal["ok"] = "ok"
    engine: str
    loaded: bool = Field(description="Whether the engine is in memory; it is loaded when it is needed.")


class InfoAnswered(BaseModel):
    """The engine, and what of it can change a text."""

    engine: str
    weights: str
    program: str
    languages: list[str]
    dpi: int = Field(description="At which a PDF's page is drawn to be recognised.")
    min_confidence: float = Field(description="A page with less is doubtful.")
    max_batch_pages: int
    max_concurrent_requests: int
    max_bytes: int = Field(description="Of a request.")
    version: str


def as_line(event: Event) -> bytes:
    """NDJSON."""
    return event.model_dump_json().encode() + b"\n"


def as_sse(event: Event) -> bytes:
    """A server-sent event."""
    return f"event: {event.event}\ndata: {event.model_dump_json()}\n\n".encode()
