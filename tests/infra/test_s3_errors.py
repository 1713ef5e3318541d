"""What an S3 server may answer, from a server that answers what it is told."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from threading import Thread

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from infra.local.processes import HOST, free_port
from infra.staging import Staging, open_staging
from schemas.errors import Retryable

Answer = tuple[int, str]
"""Status and code."""


@asynccontextmanager
async def staging_that_answers(answers: Sequence[Answer]) -> AsyncIterator[tuple[Staging, list[str]]]:
    """A store whose server gives these answers in turn, and then lets every request pass."""
    left, asked = list(answers), list[str]()

    async def answer(request: Request) -> Response:
        await request.body()
        asked.append(request.method)
        if not left:
            return Response(headers={"ETag": '"0"'})
        status, code = left.pop(0)
        body = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
        return Response(body, status, media_type="application/xml")

    methods = ["GET", "PUT", "HEAD"]
    app = Starlette(routes=[Route("/{key:path}", answer, methods=methods)])
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, host=HOST, port=port, log_config=None, lifespan="off"))
    thread = Thread(target=server.run)  # off the main thread it leaves the signals alone
    thread.start()
    try:
        url = f"s3://bucket/p?endpoint=http://{HOST}:{port}&region=us-east-1"
        async with open_staging(url) as staging:
            while not server.started:
                await asyncio.sleep(0.01)
            yield staging, asked
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "y")


async def one_piece() -> AsyncIterator[bytes]:
    yield b"sealed"


@pytest.mark.parametrize("answer", [(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable")])
async def test_a_busy_server_is_asked_three_times(answer: Answer) -> None:
    async with staging_that_answers([answer] * 2) as (staging, asked):
        await staging.write("a/b", one_piece())
    assert asked == ["PUT"] * 3


@pytest.mark.parametrize(
    ("answer", "code", "tries"),
    [
        ((503, "SlowDown"), "dependency.away", 3),
        ((500, "InternalError"), "dependency.away", 3),
        ((403, "InvalidAccessKeyId"), "dependency.refused", 1),
        ((403, "QuotaExceeded"), "dependency.full", 1),
        ((507, "XMinioStorageFull"), "dependency.full", 1),
    ],
)
async def test_what_lasts_is_named(answer: Answer, code: str, tries: int) -> None:
    async with staging_that_answers([answer] * 9) as (staging, asked):
        with pytest.raises(Retryable) as error:
            await staging.write("a/b", one_piece())
    assert (error.value.code, asked) == (code, ["PUT"] * tries)
    assert error.value.sentence.startswith("The object store ")
