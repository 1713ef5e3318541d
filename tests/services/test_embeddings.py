"""The embedding service on a port, with an engine that the tests can hold up and break."""

import base64
import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx2
import numpy as np
import openai
import pytest
from numpy.typing import NDArray
from openapi_spec_validator import validate

from engines.embedding.fake import IDENTITY, FakeEngine
from engines.tokenizer.fake import FakeTokenizer
from schemas.errors import Retryable
from schemas.parameters import EmbeddingConfig
from services import health, problems, residence
from services.embeddings.app import embeddings_app
from services.embeddings.service import EmbeddingService
from services.embeddings.texts import measure
from services.server import Door
from tests.services.serving import DOOR, served, wait_until

CONFIG = EmbeddingConfig(model="fake", query_prefix="query: ", passage_prefix="passage: ")
TEXTS = ["valves", "pumps are quiet", "Wärme 🙂", ""]


class Breakable(FakeEngine):
    """The fake, but for texts that it fails on, and times when it does nothing."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.free = threading.Event()
        self.free.set()
        self.error: Exception | None = None
        self.loads = 0

    def load(self, config: EmbeddingConfig) -> "Breakable":
        self.loads += 1
        return self

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.batches.append([*texts])
        assert self.free.wait(60)
        if self.error:
            raise self.error
        if any("poison" in text for text in texts):
            raise ValueError(f"secret {texts}")
        vectors = 3 * super().embed(texts)
        vectors[["zero" in text for text in texts]] = 0
        return vectors


@pytest.fixture(scope="module")
def shared() -> Breakable:
    """The engine of the one server that most tests ask."""
    return Breakable()


@pytest.fixture(scope="module")
def app(shared: Breakable) -> Any:
    return make(shared)


@pytest.fixture(scope="module")
def url(app: Any) -> Iterator[str]:
    with served(app) as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[httpx2.Client]:
    with connected(url) as client:
        yield client


@pytest.fixture
def engine(shared: Breakable) -> Iterator[Breakable]:
    shared.batches.clear()
    yield shared
    shared.free.set()
    shared.error = None


@pytest.fixture
def own() -> Iterator[Breakable]:
    """The engine of a server that a test starts for itself."""
    engine = Breakable()
    yield engine
    engine.free.set()


def make(engine: Breakable, door: Door = DOOR, *, seconds: float = 30, tokens: int = 64, idle: float = 0) -> Any:
    service = EmbeddingService(
        CONFIG, batch_tokens=tokens, linger=0, seconds=seconds, idle_seconds=idle, load=engine.load
    )
    app = embeddings_app(service, door)
    app.state.batcher = service._batcher
    return app


def wait_for(app: Any, requests: int) -> None:
    """Until so many requests wait for the engine, or are in its hands."""
    wait_until(lambda: len(app.state.batcher._pending) == requests)


def connected(url: str, **options: Any) -> httpx2.Client:
    return httpx2.Client(base_url=url, timeout=30, trust_env=False, **options)


def expected(*texts: str) -> NDArray[np.float32]:
    return FakeEngine().embed(texts)


def the_problem(response: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["type"] == "about:blank"
    assert problem["title"]
    assert problem["detail"]
    assert problem["next"]
    return problem


# -- what is asked and answered ---------------------------------------------------------------------------------------


def test_our_own_form(client: httpx2.Client) -> None:
    answer = client.post("/embed", json={"texts": TEXTS, "batch_size": 2}).json()
    assert np.allclose(answer["embeddings"], expected(*TEXTS), atol=1e-6)
    assert answer["model"] == "fake"
    assert answer["dimension"] == IDENTITY.dimension
    assert answer["tokens"] == [3, 5, 4, 2]


def test_tei_s_form(client: httpx2.Client) -> None:
    assert np.allclose(client.post("/embed", json={"inputs": "valves"}).json(), expected("valves"), atol=1e-6)
    answer = client.post("/embed", json={"inputs": TEXTS, "truncate": True, "truncation_direction": "Left"})
    assert np.allclose(answer.json(), expected(*TEXTS), atol=1e-6)


def test_vectors_have_length_1_unless_asked_otherwise(client: httpx2.Client) -> None:
    assert np.allclose(np.linalg.norm(client.post("/embed", json={"inputs": TEXTS}).json(), axis=1), 1)
    raw = client.post("/embed", json={"inputs": TEXTS, "normalize": False}).json()
    assert np.allclose(raw, 3 * expected(*TEXTS), atol=1e-5)
    raw = client.post("/embed", json={"texts": TEXTS, "normalize": False}).json()["embeddings"]
    assert np.allclose(raw, 3 * expected(*TEXTS), atol=1e-5)


def test_a_prompt_stands_before_the_text(client: httpx2.Client) -> None:
    assert client.get("/info").json()["prompts"] == {"query": "query: ", "passage": "passage: "}
    asked = {"inputs": "valves", "prompt_name": "query"}
    assert np.allclose(client.post("/embed", json=asked).json(), expected("query: valves"), atol=1e-6)
    problem = the_problem(client.post("/embed", json=asked | {"prompt_name": "no"}), 400, "request.prompt")
    assert "query, passage" in problem["next"]


def test_a_text_that_is_too_long_is_refused_or_cut(client: httpx2.Client) -> None:
    words = [f"w{number}" for number in range(600)]
    for body in ({"inputs": ["x", " ".join(words)]}, {"texts": ["x", " ".join(words)]}):
        problem = the_problem(client.post("/embed", json=body), 413, "request.tokens")
        assert "Text 1 has 602 tokens" in problem["detail"]
    cut = {"inputs": " ".join(words), "truncate": True}
    assert np.allclose(client.post("/embed", json=cut).json(), expected(" ".join(words[:510])), atol=1e-6)
    answer = client.post("/embed", json=cut | {"truncation_direction": "Left", "prompt_name": "query"}).json()
    assert np.allclose(answer, expected("query: " + " ".join(words[-509:])), atol=1e-6)


def test_a_text_is_cut_where_its_tokens_then_fit() -> None:
    class Short(FakeTokenizer):
        max_tokens = 5

    for text in ("a b c d e", "a" * 45, "ab " * 30, "\n".join("abcdef")):
        for keep_end in (False, True):
            [cut] = measure([text], Short(), prompt="p ", truncate=True, keep_end=keep_end)
            assert cut.tokens == Short().count(cut.text) == 5
            assert text.endswith(cut.text[2:]) if keep_end else text.startswith(cut.text[2:])


def test_info_and_tokens_as_tei_tells_them(client: httpx2.Client) -> None:
    info = client.get("/info").json()
    assert info["model_id"] == "fake"
    assert info["max_input_length"] == 512
    assert info["max_batch_tokens"] == 64
    [tokens] = client.post("/tokenize", json={"inputs": "heat pump"}).json()
    assert [(one["text"], one["special"], one["start"], one["stop"]) for one in tokens] == [
        ("<s>", True, None, None),
        ("heat", False, 0, 4),
        ("pump", False, 5, 9),
        ("</s>", True, None, None),
    ]
    asked = {"inputs": ["heat pump", "x"], "add_special_tokens": False, "prompt_name": "query"}
    assert [[one["text"] for one in text] for text in client.post("/tokenize", json=asked).json()] == [
        ["query:", "heat", "pump"],
        ["query:", "x"],
    ]


def test_openai_s_own_client(url: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, http_client=_plain()) as client:
        for made in (
            client.embeddings.create(model="fake", input=TEXTS[:3]),
            client.embeddings.create(model="fake", input=TEXTS[:3], encoding_format="float"),
            client.embeddings.create(model="fake", input=TEXTS[:3], encoding_format="base64"),
        ):
            vectors = [
                one.embedding
                if isinstance(one.embedding, list)
                else np.frombuffer(base64.b64decode(one.embedding), "<f4").tolist()
                for one in made.data
            ]
            assert np.allclose(vectors, expected(*TEXTS[:3]), atol=1e-6)
            assert [one.index for one in made.data] == [0, 1, 2]
            assert made.usage.prompt_tokens == made.usage.total_tokens == 12
            assert made.model == "fake"
        one = client.embeddings.create(model="fake", input="valves")
        assert np.allclose(one.data[0].embedding, expected("valves")[0], atol=1e-6)
        assert [model.id for model in client.models.list()] == ["fake"]
        assert client.models.retrieve("fake").owned_by == "cradle"
        with pytest.raises(openai.BadRequestError, match="token ids") as refused:
            client.embeddings.create(model="fake", input=[[1, 2], [3]])
        assert refused.value.code == "request.token-ids"
        with pytest.raises(openai.BadRequestError, match="token ids"):
            client.embeddings.create(model="fake", input=[1, 2, 3])
        with pytest.raises(openai.NotFoundError, match="another model"):
            client.embeddings.create(model="text-embedding-3-small", input="x")
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt")
        with pytest.raises(openai.BadRequestError, match="64 numbers"):
            client.embeddings.create(model="fake", input="x", dimensions=8)


def _plain() -> Any:
    return openai.DefaultHttpxClient(trust_env=False)


@pytest.mark.parametrize(
    ("path", "body", "at"),
    [
        ("/embed", {"texts": []}, "texts"),
        ("/embed", {"texts": ["x"], "secret": 1}, "secret"),
        ("/embed", {"texts": ["x"], "batch_size": 0}, "batch_size"),
        ("/embed", {"texts": ["x"] * 2049}, "texts"),
        ("/embed", {"texts": [None]}, "texts"),
        ("/embed", {"inputs": []}, "inputs"),
        ("/embed", {}, "texts"),
        ("/embed", "secret", "texts"),
        ("/embed", {"inputs": "x", "truncation_direction": "up"}, "truncation_direction"),
        ("/tokenize", {"inputs": {}}, "inputs"),
        ("/v1/embeddings", {"input": ""}, "input"),
        ("/v1/embeddings", {"input": "x", "encoding_format": "int8"}, "encoding_format"),
    ],
)
def test_a_mistake_is_told_without_what_was_sent(client: httpx2.Client, path: str, body: Any, at: str) -> None:
    problem = the_problem(client.post(path, json=body), 400, "request.invalid")
    assert any(at in error["at"] for error in problem["errors"])
    if at != "secret":
        assert "secret" not in str(problem)


@pytest.mark.parametrize("body", [b"{", b"", b'{"texts": ["\\ud800"]}', b'{"texts": ["\xff"]}', b'{"\\ud800": 1}'])
def test_what_is_no_json_or_no_unicode_is_refused(client: httpx2.Client, engine: Breakable, body: bytes) -> None:
    answer = client.post("/embed", content=body, headers={"content-type": "application/json"})
    the_problem(answer, 400, "request.invalid")
    assert engine.batches == []


@pytest.mark.parametrize("body", [{"texts": [[1]]}, {"texts": [1]}, {"inputs": [1, 2]}, {"inputs": [[1], "x"]}])
def test_token_ids_are_refused_as_such(client: httpx2.Client, body: Any) -> None:
    the_problem(client.post("/embed", json=body), 400, "request.token-ids")


def test_problems_have_what_each_dialect_s_clients_look_for(client: httpx2.Client) -> None:
    answer = client.post("/embed", json={"inputs": []}).json()
    assert (answer["error"], answer["error_type"]) == (answer["detail"], "validation")
    answer = client.post("/v1/embeddings", json={"input": []}).json()
    assert answer["error"]["message"] == answer["detail"]
    assert answer["error"]["type"] == "invalid_request_error"


def test_other_roads_and_methods_are_problems_too(client: httpx2.Client) -> None:
    the_problem(client.get("/nowhere"), 404, "request.road")
    answer = client.get("/embed")
    the_problem(answer, 405, "request.method")
    assert answer.headers["allow"] == "POST"


def test_a_body_that_is_too_large_is_refused(client: httpx2.Client) -> None:
    text = "x" * DOOR.most_bytes
    the_problem(client.post("/embed", json={"texts": [text]}), 413, "request.size")

    def streamed() -> Iterator[bytes]:
        yield b'{"texts": ["'
        yield text.encode()

    the_problem(
        client.post("/embed", content=streamed(), headers={"content-type": "application/json"}), 413, "request.size"
    )


def test_its_description_is_valid_and_names_the_roads(client: httpx2.Client) -> None:
    described = client.get("/openapi.json").json()
    validate(described)
    assert {"/embed", "/health", "/info", "/tokenize", "/v1/embeddings", "/v1/models"} <= set(described["paths"])
    answers = described["paths"]["/embed"]["post"]["responses"]
    assert "422" not in answers
    assert "application/problem+json" in answers["default"]["content"]


# -- callers beside each other ----------------------------------------------------------------------------------------


def test_callers_share_engine_batches_and_each_gets_its_own(app: Any, url: str, engine: Breakable) -> None:
    engine.free.clear()
    texts = [f"text {number}" for number in range(48)]
    with connected(url) as client, ThreadPoolExecutor(48) as pool:
        answers = [pool.submit(client.post, "/embed", json={"inputs": text}) for text in texts]
        wait_for(app, 48)
        engine.free.set()
        vectors = [answer.result().json()[0] for answer in answers]
    assert np.allclose(vectors, expected(*texts), atol=1e-6)
    assert engine.loads == 1
    assert len(engine.batches) <= 1 + 48 * 4 // 64 + 1
    assert sorted(text for batch in engine.batches for text in batch) == sorted(texts)


def test_one_bad_input_fails_no_neighbour(app: Any, url: str, engine: Breakable) -> None:
    engine.free.clear()
    texts = ["poison", *(f"text {number}" for number in range(9)), "zero"]
    with connected(url) as client, ThreadPoolExecutor(16) as pool:
        first = pool.submit(client.post, "/embed", json={"inputs": "first"})
        wait_until(lambda: engine.batches)
        answers = [pool.submit(client.post, "/embed", json={"texts": [text]}) for text in texts]
        wait_for(app, 12)
        engine.free.set()
        assert first.result().status_code == 200
        assert [answer.result().status_code for answer in answers] == [500, *[200] * 9, 503]
        problem = the_problem(answers[0].result(), 500, "service.input")
        assert "secret" not in str(problem)
        the_problem(answers[-1].result(), 503, "engine.vectors")


def test_the_next_request_is_told_when_to_come_back(own: Breakable) -> None:
    own.free.clear()
    app = make(own, replace(DOOR, most_requests=2))
    with served(app) as url, connected(url) as client:
        with ThreadPoolExecutor(2) as pool:
            waiting = [pool.submit(client.post, "/embed", json={"inputs": "x"}) for _ in range(2)]
            wait_for(app, 2)
            answer = client.post("/embed", json={"inputs": "x" * 500_000})
            problem = the_problem(answer, 429, "service.full")
            assert problem["error_type"] == "overloaded"
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            other = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0, http_client=_plain())
            with other, pytest.raises(openai.RateLimitError):
                other.embeddings.create(model="fake", input="x")
            assert client.get("/info").status_code == 200
            own.free.set()
            assert [one.result().status_code for one in waiting] == [200, 200]
        assert client.post("/embed", json={"inputs": "x"}).status_code == 200


def test_more_text_than_may_wait_is_refused_too(own: Breakable) -> None:
    own.free.clear()
    with served(make(own, tokens=16)) as url, connected(url) as client, ThreadPoolExecutor(4) as pool:
        many = {"texts": ["a b c d e f g h"] * 120}
        waiting = [pool.submit(client.post, "/embed", json=many)]
        wait_until(lambda: own.batches)
        answer = client.post("/embed", json=many)
        the_problem(answer, 429, "service.full")
        assert int(answer.headers["retry-after"]) >= 1
        own.free.set()
        assert waiting[0].result().status_code == 200


def test_a_request_has_patience_of_its_own(own: Breakable) -> None:
    own.free.clear()
    with served(make(own)) as url, connected(url) as client:
        answer = client.post("/embed", json={"inputs": "x"}, headers={"X-Request-Timeout": "0.05"})
        the_problem(answer, 503, "service.late")
        assert answer.headers["retry-after"]
        own.free.set()
        assert client.post("/embed", json={"inputs": "x"}).status_code == 200
        answer = client.post("/embed", json={"inputs": "x"}, headers={"X-Request-Timeout": "-1"})
        the_problem(answer, 400, "request.invalid")


def test_who_leaves_takes_the_work_along(app: Any, url: str, engine: Breakable) -> None:
    engine.free.clear()
    with connected(url) as client, ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, "/embed", json={"inputs": "first"})
        wait_until(lambda: engine.batches)
        with asked(url, "/embed", b'{"inputs": "left behind"}'):
            wait_for(app, 2)
        wait_for(app, 1)
        last = pool.submit(client.post, "/embed", json={"inputs": "last"})
        wait_for(app, 2)
        engine.free.set()
        assert first.result().status_code == last.result().status_code == 200
    assert engine.batches == [["first"], ["last"]]


@contextmanager
def asked(url: str, path: str, body: bytes) -> Iterator[None]:
    """Somebody who asked and waits, and goes away at the block's end."""
    address = httpx2.URL(url)
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection((address.host, address.port), timeout=20) as connection:
        connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        yield


# -- the engine's health ----------------------------------------------------------------------------------------------


def test_health_is_a_real_inference_and_turns_bad_with_the_engine(
    client: httpx2.Client, engine: Breakable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    assert client.get("/health").json() == {"status": "ok", "model": "fake", "loaded": True}
    assert len(engine.batches) == 1
    for error, code in [
        (RuntimeError("secret"), "service.input"),
        (Retryable("engine.busy", name="x", what="GPU memory"), "engine.busy"),
    ]:
        engine.error = error
        problem = the_problem(client.get("/health"), 503, "service.unwell")
        assert code in problem["detail"]
        assert "secret" not in str(problem)
    engine.error = None
    assert client.get("/health").status_code == 200


def test_health_does_not_wait_for_an_engine_that_hangs(
    client: httpx2.Client, engine: Breakable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "FRESH_SECONDS", 0.0)
    monkeypatch.setattr("services.embeddings.service.PROBE_SECONDS", 0.05)
    engine.free.clear()
    assert "service.late" in the_problem(client.get("/health"), 503, "service.unwell")["detail"]
    engine.free.set()


def test_an_engine_that_cannot_be_loaded_is_told_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residence, "PAUSE", 0.0)
    engine, broken = Breakable(), [OSError("secret"), OSError("secret")]

    def load(config: EmbeddingConfig) -> Breakable:
        if broken:
            raise broken.pop()
        return engine

    service = EmbeddingService(CONFIG, batch_tokens=64, linger=0, seconds=30, idle_seconds=0, load=load)
    with served(embeddings_app(service, DOOR)) as url, connected(url) as client:
        problem = the_problem(client.post("/embed", json={"inputs": "x"}), 503, "service.engine")
        assert "secret" not in str(problem)
        assert "service.engine" in the_problem(client.get("/health"), 503, "service.unwell")["detail"]
        assert client.post("/embed", json={"inputs": "x"}).status_code == 200


def test_the_engine_is_loaded_when_it_is_needed_and_again_after_a_rest(own: Breakable) -> None:
    with served(make(own, idle=0.02)) as url, connected(url) as client:
        assert client.post("/tokenize", json={"inputs": "x"}).status_code == 200
        assert own.loads == 0
        assert client.get("/health").json()["loaded"]
        wait_until(lambda: not client.get("/health").json()["loaded"])
        assert own.loads == 1
        assert client.post("/embed", json={"inputs": "x"}).status_code == 200
        assert own.loads == 2


# -- who may ask ------------------------------------------------------------------------------------------------------


def test_with_a_token_only_who_sends_it_may_ask(own: Breakable) -> None:
    with served(make(own, replace(DOOR, token="t" * 32))) as url, connected(url) as client:
        assert client.get("/health").status_code == 200
        for wrong in ({}, {"Authorization": "Bearer no"}, {"Authorization": "Basic " + "t" * 32}):
            answer = client.post("/embed", json={"inputs": "x"}, headers=wrong)
            the_problem(answer, 401, "request.token")
            assert answer.headers["www-authenticate"].startswith("Bearer")
        right = {"Authorization": "Bearer " + "t" * 32}
        assert client.post("/embed", json={"inputs": "x"}, headers=right).status_code == 200
        with openai.OpenAI(base_url=f"{url}/v1", api_key="t" * 32, http_client=_plain()) as other:
            assert other.embeddings.create(model="fake", input="x").data


def test_without_a_token_no_web_page_may_ask(client: httpx2.Client, engine: Breakable) -> None:
    rebound = client.post("/embed", json={"inputs": "x"}, headers={"Host": "evil.example"})
    assert rebound.status_code == 421
    assert "CRADLE_SERVICE_HOSTS" in rebound.text
    foreign = client.post("/embed", json={"inputs": "x"}, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403
    assert engine.batches == []


def test_what_nobody_expected_is_told_by_its_kind_alone(client: httpx2.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(problems, "_log", type("Log", (), {"error": lambda self, _, **what: told.append(what)})())

    def fail(*_: object, **__: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr("services.embeddings.service.measure", fail)
    problem = the_problem(client.post("/embed", json={"inputs": "secret"}), 500, "service.failed")
    assert "KeyError" in problem["detail"]
    assert "secret" not in str(problem)
    [line] = told
    assert line["kind"] == "KeyError"
    assert "secret" not in str(line)
