import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from appliance import question as module
from appliance.encoder import DIMENSION, WrongWeights, load_encoder
from appliance.question import PAUSE, Questions

VECTOR = [0.5, -1.0, 2.0]
Answer = tuple[int, Any]


def about(model: str = "sentence-transformers:me5", dimension: int = 3) -> dict[str, Any]:
    return {
        "dimension": dimension,
        "parameters": {"embedding_config": {"model": model, "query_prefix": "query: "}},
    }


@dataclass
class Service:
    """A model service in this process. `answers`: by path; another path is not found."""

    answers: Mapping[str, Answer]
    url: str = ""
    asked: list[tuple[str, Any, str | None]] = field(default_factory=list)
    """Path, body and authorization of each request."""


@contextmanager
def running(answers: Mapping[str, Answer]) -> Iterator[Service]:
    service = Service(answers)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            service.asked.append((self.path, body, self.headers["authorization"]))
            status, answer = service.answers.get(self.path, (404, "nothing here"))
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        service.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield service
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def questions() -> Iterator[Callable[..., Questions]]:
    """Makes them, and closes them."""
    made: list[Questions] = []

    def make(*arguments: Any, **options: Any) -> Questions:
        made.append(Questions(*arguments, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


TEI: Mapping[str, Answer] = {"/embed": (200, [VECTOR])}
OPENAI: Mapping[str, Answer] = {"/v1/embeddings": (200, {"data": [{"embedding": VECTOR, "index": 0}]})}


@pytest.mark.parametrize(
    ("answers", "suffix", "asked"),
    [
        (TEI, "", ["/embed"]),
        (TEI, "/", ["/embed"]),
        (TEI, "/embed", ["/embed"]),
        (OPENAI, "", ["/embed", "/v1/embeddings"]),
        (OPENAI, "/v1", ["/v1/embeddings"]),
        (OPENAI, "/v1/embeddings", ["/v1/embeddings"]),
        ({**TEI, **OPENAI}, "", ["/embed"]),
    ],
)
def test_a_service_is_asked_in_the_wire_format_that_it_knows(
    questions: Callable[..., Questions], answers: Mapping[str, Answer], suffix: str, asked: list[str]
) -> None:
    with running(answers) as service:
        made = questions(about(), service.url + suffix)
        assert made.how == "service"
        for _ in range(2):
            vector, how = made.embed("pump")
            assert how == "service"
            assert vector is not None
            assert vector.dtype == np.float32
            assert vector.tolist() == VECTOR
    assert [path for path, *_ in service.asked] == [*asked, asked[-1]]


def test_the_question_goes_with_its_prefix_model_and_token(questions: Callable[..., Questions]) -> None:
    with running(TEI) as service:
        questions(about(), service.url, token="secret").embed("pump")
    assert service.asked == [("/embed", {"inputs": ["query: pump"], "truncate": True}, "Bearer secret")]
    with running(OPENAI) as service:
        questions(about(), service.url + "/v1").embed("pump")
        questions(about(), service.url + "/v1", model="other").embed("pump")
    assert [(body["input"], body["model"], token) for _, body, token in service.asked] == [
        (["query: pump"], "me5", None),
        (["query: pump"], "other", None),
    ]


@pytest.mark.parametrize(
    "answers",
    [
        {"/embed": (500, "broken")},
        {"/embed": (200, [[*VECTOR, 1.0]])},
        {"/embed": (200, [["a", "b", "c"]])},
        {"/embed": (200, [[float("nan"), 1.0, 1.0]])},
        {"/embed": (200, [])},
        {"/embed": (200, "text")},
        {},
    ],
    ids=["an error", "another dimension", "no numbers", "not a number", "nothing", "text", "no format"],
)
def test_words_alone_answer_where_the_service_fails(
    questions: Callable[..., Questions], answers: Mapping[str, Answer]
) -> None:
    with running(answers) as service:
        assert questions(about(), service.url).embed("pump") == (None, "lexical")
    assert service.asked


class Endless(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b" ")
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize("limit", ["TIMEOUT", "MOST_ANSWER"])
def test_an_answer_without_end_is_given_up(
    questions: Callable[..., Questions], limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, limit, {"TIMEOUT": 0.5, "MOST_ANSWER": 1000}[limit])
    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            made = questions(about(), f"http://127.0.0.1:{server.server_port}/embed")
            assert made.embed("pump") == (None, "lexical")
        finally:
            made.close()
            server.shutdown()
            thread.join()


def test_a_redirection_is_not_followed(questions: Callable[..., Questions]) -> None:
    with running({"/embed": (307, [VECTOR])}) as service:
        assert questions(about(), service.url).embed("pump") == (None, "lexical")
    assert len(service.asked) == 1


def test_a_service_that_is_away_is_not_waited_for_again_and_again(questions: Callable[..., Questions]) -> None:
    now = [100.0]
    with running({"/embed": (503, "busy")}) as service:
        made = questions(about(), service.url, clock=lambda: now[0])
        assert made.embed("pump") == made.embed("pump") == (None, "lexical")
        assert len(service.asked) == 1
        service.answers = TEI
        now[0] += PAUSE
        assert made.embed("pump")[1] == "service"


def test_nobody_listens(questions: Callable[..., Questions]) -> None:
    with running(TEI) as service:
        pass
    assert questions(about(), service.url).embed("pump") == (None, "lexical")


def test_without_model_or_service_words_alone_answer(questions: Callable[..., Questions]) -> None:
    made = questions(about())
    assert made.how == "lexical"
    assert made.embed("pump") == (None, "lexical")


def test_no_vector_is_made_where_no_passage_has_one(questions: Callable[..., Questions]) -> None:
    with running(TEI) as service:
        assert questions(about(dimension=0), service.url).embed("pump") == (None, "lexical")
    assert service.asked == []


def test_the_bundled_model_comes_first(questions: Callable[..., Questions]) -> None:
    with running(TEI) as service:
        made = questions(about("builtin", DIMENSION), service.url)
        assert made.how == "builtin"
        vector, how = made.embed("pump")
        assert how == "builtin"
        assert vector is not None
        np.testing.assert_array_equal(vector, load_encoder().encode("query: pump"))
    assert service.asked == []


@pytest.mark.parametrize("error", [ImportError("gone"), WrongWeights("other")], ids=["missing", "other weights"])
def test_a_service_stands_in_for_a_bundled_model_that_is_not_the_pinned_one(
    questions: Callable[..., Questions], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load() -> None:
        raise error

    monkeypatch.setattr(module, "load_encoder", load)
    with running(TEI) as service:
        made = questions(about("builtin"), service.url)
        assert made.embed("pump")[1] == "service"
        assert made.how == "service"
    alone = questions(about("builtin"))
    assert alone.embed("pump") == (None, "lexical")
    assert alone.how == "lexical"


def test_warming_makes_the_first_question_quick(questions: Callable[..., Questions]) -> None:
    with running(TEI) as service:
        questions(about(), service.url).warm()
    assert len(service.asked) == 1
