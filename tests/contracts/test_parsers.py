"""The parsing port's contract, over both adapters: what the sandbox answers is what the functions answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio

from engines import extraction
from engines.extraction.parsers import InProcess, Parsers
from engines.sandbox import open_sandbox
from schemas.errors import Permanent
from tests.engines.samples import DOCX, pdf, zipped

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOB = UUID(int=1)
EXAMPLES = sorted(
    path
    for path in (Path(__file__).parents[2] / "examples").rglob("*")
    if path.is_file() and not any(part.startswith("_") for part in path.parts)
)


@pytest_asyncio.fixture(loop_scope="module", scope="module", params=["in process", "sandbox"])
async def parsers(request: pytest.FixtureRequest) -> AsyncIterator[Parsers]:
    if request.param == "in process":
        yield InProcess()
        return
    async with open_sandbox() as sandbox:
        yield sandbox


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.suffix)
async def test_examples_are_named_and_read_as_by_the_functions(parsers: Parsers, path: Path) -> None:
    data = path.read_bytes()
    found = await parsers.probe(JOB, data, path.name)
    assert found == extraction.probe(data, path.name)
    if found.route in ("text", "mail"):
        assert await parsers.extract(JOB, data, found.media_type) == extraction.extract(data, found.media_type)


async def test_members_come_one_at_a_time(parsers: Parsers) -> None:
    content = {"a.txt": b"first", "folder/b.txt": b"", "ä.txt": bytes(1 << 20)}
    members = [member async for member in parsers.members(JOB, zipped(content), "application/zip")]
    assert dict(members) == content


async def test_a_member_that_cannot_be_read_says_why_and_costs_no_other(parsers: Parsers) -> None:
    made = bytearray(zipped({"a.txt": b"first" * 100, "b.txt": b"second"}))
    made[made.index(b"a.txt") + 10] ^= 0xFF
    found = dict([member async for member in parsers.members(JOB, bytes(made), "application/zip")])
    assert found["b.txt"] == b"second"
    expected = dict(extraction.members(bytes(made), "application/zip"))["a.txt"]
    assert isinstance(expected, Permanent)
    assert isinstance(found["a.txt"], Permanent)
    assert (found["a.txt"].code, str(found["a.txt"])) == (expected.code, str(expected))


async def test_a_stream_may_be_left_and_the_next_call_is_answered_rightly(parsers: Parsers) -> None:
    made = zipped({f"{number}.txt": bytes(100_000) for number in range(50)})
    for _ in range(3):
        async with aclosing(parsers.members(JOB, made, "application/zip")) as members:
            first, _content = await anext(members)
        assert first == "0.txt"
        assert await parsers.probe(JOB, b"plain text", "a.txt") == extraction.probe(b"plain text", "a.txt")


@pytest.mark.parametrize(
    ("data", "media_type", "code"),
    [
        (b"nothing", "application/x-unknown", "document.type"),
        (b"%PDF-1.7 nothing", "application/pdf", "document.broken"),
        (b"PK nothing", DOCX, "document.broken"),
        (b" \n ", "text/plain", "document.no-text"),
        (pdf([["secret"]], encrypted=True), "application/pdf", "document.encrypted"),
    ],
)
async def test_what_cannot_be_read_says_why(parsers: Parsers, data: bytes, media_type: str, code: str) -> None:
    with pytest.raises(Permanent) as raised:
        await parsers.extract(JOB, data, media_type)
    assert raised.value.code == code
    assert raised.value.next_step


async def test_what_is_no_container_has_no_members(parsers: Parsers) -> None:
    for data, media_type, code in (
        (b"nothing", "text/plain", "document.type"),
        (b"nothing", "application/zip", "document.broken"),
    ):
        with pytest.raises(Permanent) as raised:
            _ = [member async for member in parsers.members(JOB, data, media_type)]
        assert raised.value.code == code


async def test_the_same_bytes_give_the_same_result_in_any_order_and_together(parsers: Parsers) -> None:
    files = [(path.read_bytes(), path.name) for path in EXAMPLES]
    once = [await parsers.probe(JOB, data, name) for data, name in files]
    again = await asyncio.gather(*(parsers.probe(UUID(int=number % 3), *file) for number, file in enumerate(files)))
    assert again == once


async def test_pages_to_recognise(parsers: Parsers) -> None:
    scan = pdf([["Only this page has text."], []], pictured=[2])
    found = await parsers.probe(JOB, scan, "scan.pdf")
    assert found == extraction.probe(scan, "scan.pdf")
    expected = list(extraction.pictures(scan, "application/pdf", dpi=72))
    assert [page async for page in parsers.pictures(JOB, scan, "application/pdf", dpi=72)] == expected
    assert await parsers.readable(JOB, scan, "application/pdf") == extraction.readable(scan, "application/pdf")
