"""The vision service on a port: pages as they are read, each on its own."""

import base64
import json
import socket
import threading
from collections.abc import AsyncGenerator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any
from uuid import UUID

import httpx2
import pytest
from openapi_spec_validator import validate

from engines.extraction import Extracted, Member, PageImage, Probe
from engines.extraction.reading import Piece, Reading
from engines.vision import Line, PageText
from engines.vision.fake import IDENTITY, FakeEngine
from schemas.errors import Permanent
from schemas.parameters import VisionConfig
from services import health
from services.server import Door
from services.vision.app import vision_app
from services.vision.service import PROBE, VisionService
from tests.services.serving import DOOR, served, wait_until

CONFIG = VisionConfig(engine="fake", dpi=100, min_confidence=0.6, batch_size=4)


class Scripted:
    """Parsers of files that say what their pages are: `text hello` or `picture NUMBER` a line, or an error's code."""

    def __init__(self) -> None:
        self.jobs: list[UUID] = []
        self.drawn = 0

    async def probe(self, job: UUID, data: bytes, path: str) -> Probe:
        self.jobs.append(job)
        if data.startswith(b"word"):
            return Probe("application/msword", "text")
        return Probe("application/pdf" if data.startswith(b"pdf") else "image/png", "ocr")

    async def readable(self, job: UUID, data: bytes, media_type: str) -> Reading:
        if data == b"broken":
            raise Permanent("document.broken", kind=media_type)
        if data == b"bug":
            raise KeyError("secret")
        pages = enumerate(_pages(data), start=1)
        return Reading([Piece(what, page=number) for number, (kind, what) in pages if kind == "text"])

    async def pictures(self, job: UUID, data: bytes, media_type: str, *, dpi: int) -> AsyncGenerator[PageImage, None]:
        for number, (kind, what) in enumerate(_pages(data), start=1):
            if kind == "picture":
                self.drawn += 1
                yield picture(int(what), number)
            if kind == "costly":
                raise Permanent("document.costly", limit=what)

    async def extract(self, job: UUID, data: bytes, media_type: str) -> Extracted:
        raise NotImplementedError

    def members(self, job: UUID, data: bytes, media_type: str) -> AsyncGenerator[Member, None]:
        raise NotImplementedError


def _pages(data: bytes) -> list[tuple[str, str]]:
    kinds = ("text", "picture", "costly")
    lines = (line.partition(" ") for line in data.decode(errors="replace").splitlines())
    return [(kind, what) for kind, _, what in lines if kind in kinds]


def picture(shade: int, number: int = 1) -> PageImage:
    return PageImage(number, 2, 1, bytes([shade] * 3 + [0] * 3), 100)


class Breakable(FakeEngine):
    """The fake, but for a picture of shade 13, that it fails on, and times when it does nothing."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.free = threading.Event()
        self.free.set()
        self.error: Exception | None = None
        self.confidence = 0.9

    def recognise(self, pages: Sequence[PageImage]) -> list[PageText]:
        self.batches.append(len(pages))
        assert self.free.wait(60)
        if self.error:
            raise self.error
        if any(page.pixels[0] == 13 for page in pages):
            raise ValueError("secret")
        return [
            PageText((Line(f"shade {page.pixels[0]}", (0, 0, 2, 1), self.confidence),), page.width, page.height, 90)
            for page in pages
        ]


@pytest.fixture(scope="module")
def shared() -> Breakable:
    return Breakable()


@pytest.fixture(scope="module")
def parsers() -> Scripted:
    return Scripted()


@pytest.fixture(scope="module")
def app(shared: Breakable, parsers: Scripted) -> Any:
    return make(shared, parsers)


@pytest.fixture(scope="module")
def url(app: Any) -> Iterator[str]:
    with served(app) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx2.Client]:
    with connected(url) as client:
        yield client


@pytest.fixture
def engine(shared: Breakable, parsers: Scripted) -> Iterator[Breakable]:
    shared.batches.clear()
    parsers.jobs.clear()
    parsers.drawn = 0
    yield shared
    shared.free.set()
    shared.free = threading.Event()
    shared.free.set()
    shared.error, shared.confidence = None, 0.9


def make(engine: Breakable, parsers: Scripted, door: Door = DOOR) -> Any:
    service = VisionService(CONFIG, parsers, linger=0, seconds=30, idle_seconds=0, load=lambda _: engine)
    app = vision_app(service, door)
    app.state.batcher = service._batcher
    return app


def connected(url: str) -> httpx2.Client:
    return httpx2.Client(base_url=url, timeout=30, trust_env=False)


def asked(*files: bytes) -> dict[str, Any]:
    return {"json": {"files": [base64.b64encode(file).decode() for file in files]}}


def events(response: httpx2.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def told(response: httpx2.Response) -> list[tuple[Any, ...]]:
    """What each event is about."""
    return [
        (event["event"], event["file"], event["page"], event.get("text") or event.get("code"))
        for event in events(response)[:-1]
    ]


PDF = b"pdf\ntext one\npicture 2\npicture 3\ntext four"


def test_pages_come_in_order_with_own_and_recognised_text(client: httpx2.Client, engine: Breakable) -> None:
    answer = client.post("/vision", **asked(PDF, b"picture 7"))
    assert told(answer) == [
        ("page", 0, 1, "one"),
        ("page", 0, 2, "shade 2"),
        ("page", 0, 3, "shade 3"),
        ("page", 0, 4, "four"),
        ("page", 1, 1, "shade 7"),
    ]
    assert events(answer)[-1] == {"event": "end", "files": 2, "pages": 5, "errors": 0}
    own, read = events(answer)[:2]
    assert (own["recognised"], own["confidence"], own["lines"]) == (False, None, [])
    assert (read["recognised"], read["confidence"], read["doubtful"]) == (True, 0.9, False)
    assert (read["width"], read["height"], read["rotation"]) == (2, 1, 90)
    assert read["lines"] == [{"text": "shade 2", "start": 0, "end": 7, "box": [0, 0, 2, 1], "confidence": 0.9}]


def test_a_page_that_was_hard_to_read_is_told_as_doubtful(client: httpx2.Client, engine: Breakable) -> None:
    engine.confidence = 0.5
    [page, _] = events(client.post("/vision", **asked(b"picture 1")))
    assert page["doubtful"]


def test_files_come_as_a_form_in_base64_or_as_the_body(client: httpx2.Client, engine: Breakable) -> None:
    wanted = [("page", 0, 1, "shade 5")]
    assert told(client.post("/vision", files={"anything": ("secret.png", b"picture 5")})) == wanted
    assert told(client.post("/vision", content=b"picture 5", headers={"content-type": "image/png"})) == wanted
    assert told(client.post("/vision", **asked(b"picture 5"))) == wanted
    url = "data:image/png;base64," + base64.b64encode(b"picture 5").decode()
    assert told(client.post("/vision", json={"files": [url]})) == wanted
    two = [("files", (None, b"picture 5")), ("files", ("b", b"picture 6"))]
    assert told(client.post("/vision", files=two)) == [*wanted, ("page", 1, 1, "shade 6")]


def test_as_server_sent_events_if_asked(client: httpx2.Client, engine: Breakable) -> None:
    answer = client.post("/vision", **asked(b"picture 5"), headers={"Accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    first, last = answer.text.strip().split("\n\n")
    assert first.startswith("event: page\ndata: {")
    assert json.loads(last.removeprefix("event: end\ndata: "))["pages"] == 1


def test_one_bad_file_or_page_fails_no_other(client: httpx2.Client, engine: Breakable) -> None:
    files = (b"picture 1", b"broken", b"word", b"pdf\npicture 2\npicture 13\npicture 3", b"picture 4\ncostly 1 GiB")
    answer = client.post("/vision", **asked(*files, b"bug", b"picture 9"))
    assert told(answer) == [
        ("page", 0, 1, "shade 1"),
        ("error", 1, None, "document.broken"),
        ("error", 2, None, "document.type"),
        ("page", 3, 1, "shade 2"),
        ("error", 3, 2, "service.input"),
        ("page", 3, 3, "shade 3"),
        ("page", 4, 1, "shade 4"),
        ("error", 4, None, "document.costly"),
        ("error", 5, None, "service.failed"),
        ("page", 6, 1, "shade 9"),
    ]
    assert events(answer)[-1]["errors"] == 5
    assert "secret" not in answer.text
    error = events(answer)[1]
    assert (error["type"], error["status"]) == ("about:blank", 422)
    assert error["next"]


def test_pages_of_several_callers_share_engine_batches(app: Any, url: str, engine: Breakable) -> None:
    engine.free.clear()
    with connected(url) as client, ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(client.post, "/vision", **asked(b"picture %d" % number)) for number in range(20, 28)]
        wait_until(lambda: len(app.state.batcher._pending) == 8)
        engine.free.set()
        assert [told(answer.result())[0][3] for answer in answers] == [f"shade {number}" for number in range(20, 28)]
    assert len(engine.batches) < 8
    assert max(engine.batches) == CONFIG.batch_size


def test_a_page_is_told_before_the_next_is_read(url: str, engine: Breakable) -> None:
    class Once(threading.Event):
        """Lets the first batch pass, and holds up the next."""

        def wait(self, timeout: float | None = None) -> bool:
            return len(engine.batches) == 1 or super().wait(timeout)

    engine.free = Once()
    with connected(url) as client:
        pages = b"pdf\n" + b"picture 1\n" * 6
        with client.stream("POST", "/vision", **asked(pages)) as answer:
            lines = answer.iter_lines()
            assert json.loads(next(lines))["page"] == 1
            engine.free.set()
            assert json.loads([*lines][-1])["pages"] == 6


def test_only_few_pages_of_a_request_are_drawn_ahead(app: Any, url: str, engine: Breakable, parsers: Scripted) -> None:
    engine.free.clear()
    with connected(url) as client, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.post, "/vision", **asked(b"pdf\n" + b"picture 1\n" * 50))
        wait_until(lambda: engine.batches and app.state.batcher._pending)
        wait_until(lambda: client.get("/info").status_code == 200)
        assert parsers.drawn <= 5
        engine.free.set()
        assert len(events(answer.result())) == 51


def test_who_leaves_takes_the_pages_along(app: Any, url: str, engine: Breakable, parsers: Scripted) -> None:
    engine.free.clear()
    address = httpx2.URL(url)
    body = b"pdf\n" + b"picture 1\n" * 50
    head = (
        f"POST /vision HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pdf\r\nContent-Length: {len(body)}\r\n"
    )
    with socket.create_connection((address.host, address.port), timeout=20) as connection:
        connection.sendall(head.encode() + b"\r\n" + body)
        wait_until(lambda: len(app.state.batcher._pending) >= 2)
    wait_until(lambda: not app.state.batcher._pending)
    drawn = parsers.drawn
    engine.free.set()
    with connected(url) as client:
        assert told(client.post("/vision", **asked(b"picture 2"))) == [("page", 0, 1, "shade 2")]
    assert parsers.drawn == drawn + 1


def test_each_request_is_a_job_of_its_own(client: httpx2.Client, engine: Breakable, parsers: Scripted) -> None:
    for _ in range(2):
        client.post("/vision", **asked(b"picture 1", b"picture 2"))
    assert len(parsers.jobs) == 4
    assert len({*parsers.jobs}) == 2


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        ({"json": {"files": []}}, 400, "request.invalid"),
        ({"json": {"files": ["no base64!"]}}, 400, "request.invalid"),
        ({"json": {"files": [""]}}, 400, "request.invalid"),
        ({"json": {"secret": 1}}, 400, "request.invalid"),
        ({"json": {"files": ["eA=="] * 101}}, 400, "request.invalid"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "request.invalid"),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "request.type"),
        ({"content": b"x"}, 415, "request.type"),
        ({"content": b"", "headers": {"content-type": "image/png"}}, 400, "request.invalid"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "request.invalid"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, "request.invalid"),
        (
            {"content": b"--b\r\n\r\nx", "headers": {"content-type": "multipart/form-data; boundary=b"}},
            400,
            "request.invalid",
        ),
        ({"files": [("f", b"x")] * 101}, 413, "request.size"),
        ({"content": b"x" * (DOOR.most_bytes + 1), "headers": {"content-type": "image/png"}}, 413, "request.size"),
    ],
)
def test_what_holds_no_files_is_refused(client: httpx2.Client, sent: Any, status: int, code: str) -> None:
    answer = client.post("/vision", **sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_requests_are_bounded(engine: Breakable) -> None:
    own = Breakable()
    own.free.clear()
    app = make(own, Scripted(), replace(DOOR, most_requests=1))
    with served(app) as url, connected(url) as client, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.post, "/vision", **asked(b"picture 1"))
        wait_until(lambda: app.state.batcher._pending)
        answer = client.post("/vision", **asked(b"picture 1"))
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        own.free.set()
        assert told(waiting.result()) == [("page", 0, 1, "shade 1")]


def test_health_turns_bad_with_the_engine(
    client: httpx2.Client, engine: Breakable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    assert client.get("/health").json() == {"status": "ok", "engine": "fake", "loaded": True}
    assert engine.batches == [1]
    engine.error = RuntimeError("secret")
    answer = client.get("/health")
    assert (answer.status_code, answer.json()["code"]) == (503, "service.unwell")
    assert "secret" not in answer.text


def test_what_health_tries_is_a_picture() -> None:
    assert len(PROBE.pixels) == 3 * PROBE.width * PROBE.height


def test_its_description_is_valid(client: httpx2.Client) -> None:
    described = client.get("/openapi.json").json()
    validate(described)
    content = described["paths"]["/vision"]["post"]["requestBody"]["content"]
    assert {"multipart/form-data", "application/json", "application/pdf"} <= set(content)
    assert client.get("/info").json()["engine"] == IDENTITY.name
