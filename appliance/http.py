"""The answers over plain HTTP: `/api/...`, described by `/openapi.json`. Errors are problem details of RFC 9457."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from pydantic import ValidationError
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from appliance.answers import Answers
from appliance.problems import Refused, mistakes, problem
from appliance.tools import ROADS, Road, Tool

MOST_BODY: Final = 64 * 1024
NO_STORE: Final = {"Cache-Control": "no-store"}


class _AnyPath(PathConvertor):
    """Starlette's own ends at a line feed, which a file name may hold."""

    regex = r"[\s\S]*"


register_url_convertor("document", _AnyPath())


def routes(answers: Answers) -> list[Route]:
    async def healthz(_: Request) -> Response:
        await answers.check()
        return JSONResponse({"status": "ok"}, headers=NO_STORE)

    async def openapi(_: Request) -> Response:
        from appliance.openapi import document

        return JSONResponse(document())

    served = [
        Route(road.path.replace("{path}", "{path:document}"), _endpoint(road, answers), methods=[road.method])
        for road in ROADS
    ]
    return [*served, Route("/healthz", healthz), Route("/openapi.json", openapi)]


def _endpoint(road: Road, answers: Answers) -> Callable[[Request], Awaitable[Response]]:
    read = {"GET": _from_query, "POST": _from_body}[road.method]

    async def answer(request: Request) -> Response:
        asked = await read(road.tool, request)
        answered = await road.tool.answer(answers, asked)
        return Response(answered.model_dump_json(), media_type="application/json", headers=NO_STORE)

    return answer


async def _from_query(tool: Tool, request: Request) -> Any:
    return tool.asked.model_validate({**request.query_params, **request.path_params})


async def _from_body(tool: Tool, request: Request) -> Any:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BODY:
            raise Refused(413, f"A question has at most {MOST_BODY} bytes.")
    return tool.asked.model_validate_json(bytes(body))


async def _tell_mistakes(_: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError)
    return problem(400, "The question is not as it should be.", errors=mistakes(error))


async def _tell_refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem(error.status, error.sentence)


async def _tell_status(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, "There is no such road: see /openapi.json.", headers=error.headers)


async def _tell_nobody(_: Request, __: Exception) -> Response:
    return problem(408, "The question did not arrive whole.")


async def _tell_failure(_: Request, __: Exception) -> Response:
    return problem(500, "The appliance failed; its log says why.")


ERRORS: Final = {
    ValidationError: _tell_mistakes,
    Refused: _tell_refusal,
    HTTPException: _tell_status,
    ClientDisconnect: _tell_nobody,
    Exception: _tell_failure,
}
