"""The road to the vision service."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from importlib.metadata import version
from typing import Annotated, Any, Final

from fastapi import FastAPI, Header, Request
from starlette.responses import StreamingResponse

from services.intake import MIB
from services.server import Door, build_app
from services.vision.files import read_files
from services.vision.service import VisionService
from services.vision.wire import Event, FilesAsked, HealthAnswered, InfoAnswered, as_line, as_sse

PORT: Final = 8002
MOST_REQUESTS: Final = 16
MOST_BYTES: Final = 64 * MIB
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
SSE: Final = "text/event-stream"
BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
            }
        },
        "application/json": {"schema": FilesAsked.model_json_schema()},
        "application/pdf": {"schema": {"type": "string", "format": "binary"}},
        "image/*": {"schema": {"type": "string", "format": "binary"}},
    },
}
ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "model": Event,
        "description": "An event a line: `page` for each page in order, `error` for a page or file that cannot be read,"
        " and `end`. With `Accept: text/event-stream` as server-sent events.",
        "content": {
            SSE: {"schema": {"type": "string"}},
        },
    }
}


class Lines(StreamingResponse):
    media_type = "application/x-ndjson"


Patience = Annotated[
    float | None,
    Header(alias="X-Request-Timeout", gt=0, description="Seconds that each page may wait, beside the service's limit."),
]


def vision_app(service: VisionService, door: Door) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service.running():
            yield

    app = build_app("Cradle vision", door, lifespan, lambda: service.retry_after)

    @app.get("/health", summary="Whether the engine reads pictures")
    async def health() -> HealthAnswered:
        await service.check()
        return HealthAnswered(engine=service.identity.name, loaded=service.loaded)

    @app.get("/info", summary="The engine and its limits")
    async def info() -> InfoAnswered:
        return InfoAnswered(
            engine=service.identity.name,
            weights=service.identity.weights,
            program=service.identity.program,
            languages=list(service.identity.languages),
            dpi=service.config.dpi,
            min_confidence=service.config.min_confidence,
            max_batch_pages=service.config.batch_size,
            max_concurrent_requests=door.most_requests,
            max_bytes=door.most_bytes,
            version=version("cradle"),
        )

    @app.post(
        "/vision",
        summary="The text of pictures and PDFs, page by page",
        response_class=Lines,
        responses=ANSWER,
        openapi_extra={"requestBody": BODY},
    )
    async def vision(request: Request, patience: Patience = None) -> StreamingResponse:
        files = await read_files(request)
        as_events = SSE in request.headers.get("accept", "")
        return StreamingResponse(
            _written(service, files, patience, as_events=as_events),
            media_type=SSE if as_events else Lines.media_type,
            headers=HEADERS,
        )

    return app


async def _written(
    service: VisionService, files: Sequence[bytes], patience: float | None, *, as_events: bool
) -> AsyncGenerator[bytes, None]:
    write = as_sse if as_events else as_line
    async with aclosing(service.read(files, seconds=patience)) as events:
        async for event in events:
            yield write(event)
