"""Errors as the services tell them: problem details of RFC 9457, with the catalogue's code and next step.

Each also has the member `error` as the callers' own clients look for it: OpenAI's under `/v1`, TEI's elsewhere.
"""

import traceback
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from schemas.errors import CradleError, Permanent, Retryable
from services.batching import Full

STATUS: Final[Mapping[str, int]] = {
    "request.size": 413,
    "request.tokens": 413,
    "request.type": 415,
    "request.model": 404,
    "request.road": 404,
    "request.method": 405,
    "request.token": 401,
    "request.unread": 408,
    "service.full": 429,
    "service.input": 500,
    "service.failed": 500,
    "document.type": 415,
    "document.encrypted": 422,
    "document.broken": 422,
    "document.costly": 413,
    "document.crash": 422,
    "document.no-text": 422,
}
"""Of a code that is not here: 400 for what a request got wrong, 503 for what the service lacks."""
REFUSALS: Final[Mapping[int, str]] = {404: "request.road", 405: "request.method"}
"""Codes for what starlette refuses by itself."""
RETRY_SECONDS: Final = 5
"""Told where an engine lacks something just now, and nothing says for how long."""
TEI_TYPES: Final[Mapping[int, str]] = {429: "overloaded", 500: "backend", 503: "unhealthy"}
HEADERS: Final = {"Cache-Control": "no-store"}

_SCHEMA: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "next"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string", "description": "A code of docs/errors.md."},
        "next": {"type": "string", "description": "What to do next."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["at", "message"],
                "properties": {"at": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
_CONTENT: Final = {"application/problem+json": {"schema": _SCHEMA}}
_RETRY_AFTER: Final = {"Retry-After": {"description": "Whole seconds.", "schema": {"type": "integer"}}}
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    429: {"description": "As much is waiting as may.", "content": _CONTENT, "headers": _RETRY_AFTER},
    503: {"description": "The engine is away.", "content": _CONTENT, "headers": _RETRY_AFTER},
    "default": {"description": "A problem, as RFC 9457 has them.", "content": _CONTENT},
}
"""What OpenAPI says of problems."""

_log = structlog.get_logger(__name__)


def status_of(error: CradleError) -> int:
    return STATUS.get(error.code, 400 if error.code.startswith("request.") else 503)


def details(error: CradleError, *, errors: Sequence[Mapping[str, str]] = ()) -> dict[str, Any]:
    """The problem as it stands in a body."""
    status = status_of(error)
    found: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.sentence,
        "code": error.code,
        "next": error.next_step,
    }
    return found | ({"errors": [*errors]} if errors else {})


def answer(error: CradleError, path: str, *, errors: Sequence[Mapping[str, str]] = ()) -> Response:
    """`path`: the road that was taken. `errors`: what is wrong with single fields."""
    body = details(error, errors=errors)
    status: int = body["status"]
    if path.startswith("/v1/"):
        kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
        body["error"] = {"message": error.sentence, "type": kind, "param": None, "code": error.code}
    else:
        body |= {"error": error.sentence, "error_type": TEI_TYPES.get(status, "validation")}
    return JSONResponse(body, status, headers=HEADERS | _more_headers(error), media_type="application/problem+json")


def _more_headers(error: CradleError) -> dict[str, str]:
    if error.code == "request.token":
        return {"WWW-Authenticate": 'Bearer realm="cradle"'}
    if isinstance(error, Full):
        return {"Retry-After": str(error.seconds)}
    return {"Retry-After": str(RETRY_SECONDS)} if isinstance(error, Retryable) else {}


class Refusal(HTTPException):
    """Carries a problem through FastAPI while that reads a body: of all exceptions it lets these pass."""

    def __init__(self, error: CradleError) -> None:
        super().__init__(status_of(error))
        self.error = error


def tell_problems(app: FastAPI) -> None:
    """Lets every error of the app be answered as a problem."""
    for kind, tell in {
        CradleError: _tell_error,
        RequestValidationError: _tell_mistakes,
        HTTPException: _tell_status,
        ClientDisconnect: _tell_nobody,
    }.items():
        app.add_exception_handler(kind, tell)


def unexpected(error: BaseException) -> CradleError:
    """Logs where an error without a code came from, but nothing that it says: it may quote the request."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    places = [f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in frames]
    _log.error("request failed", kind=type(error).__name__, places=places)
    return Retryable("service.failed", kind=type(error).__name__)


async def _tell_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, CradleError)
    return answer(error, request.url.path)


async def _tell_mistakes(request: Request, error: Exception) -> Response:
    """What is wrong with each field, without repeating what was sent."""
    assert isinstance(error, RequestValidationError)
    mistakes = [
        {"at": _printable(".".join(str(part) for part in one["loc"][1:])) or "body", "message": str(one["msg"])}
        for one in error.errors()
    ]
    return answer(Permanent("request.invalid"), request.url.path, errors=mistakes)


def _printable(name: str) -> str:
    """A field's name as JSON can hold it, and not at any length: whoever asks chose it."""
    return name[:200].encode(errors="replace").decode()


async def _tell_status(request: Request, error: Exception) -> Response:
    """What starlette and FastAPI refuse by themselves."""
    assert isinstance(error, HTTPException)
    if isinstance(error, Refusal):
        return answer(error.error, request.url.path)
    found = answer(Permanent(REFUSALS.get(error.status_code, "request.invalid")), request.url.path)
    found.headers.update(error.headers or {})
    return found


async def _tell_nobody(request: Request, _: Exception) -> Response:
    return answer(Permanent("request.unread"), request.url.path)
