"""The services as an operator starts them: they keep nothing of a request, end when they are told, and are closed to
strangers."""

import base64
import json
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from io import BytesIO
from ipaddress import IPv4Address
from pathlib import Path

import httpx2
import pytest
from PIL import Image, ImageDraw

from infra.local.processes import free_port
from tests.services.serving import program, surroundings, wait_until

SECRET = "kranichfeld-4711"
HALF_SECRET = b"kranichfeld"
TRACES = (SECRET, "4711", base64.b64encode(SECRET.encode()).decode()[:12])


def test_nothing_of_a_text_is_logged_or_written(tmp_path: Path) -> None:
    with (
        program("embeddings", tmp_path, environment={"CRADLE_EMBEDDINGS_MODEL": "fake"}) as (url, process),
        httpx2.Client(base_url=url, trust_env=False, timeout=30) as client,
    ):
        for path, body in [
            ("/embed", {"texts": [SECRET]}),
            ("/embed", {"inputs": SECRET}),
            ("/embed", {"inputs": f"{SECRET} " * 600}),
            ("/embed", {"inputs": SECRET, "prompt_name": SECRET}),
            ("/embed", {"texts": [SECRET], SECRET: SECRET}),
            ("/embed", {"texts": [1, SECRET]}),
            ("/tokenize", {"inputs": SECRET}),
            ("/v1/embeddings", {"input": SECRET, "user": SECRET}),
            ("/v1/embeddings", {"input": SECRET, "model": SECRET}),
            (f"/{SECRET}", {}),
        ]:
            client.post(path, json=body)
        client.post("/embed", content=f'{{"texts": ["{SECRET}\\ud800"]}}'.encode())
        client.post("/embed", content=SECRET.encode(), headers={"X-Secret": SECRET})
        client.get(f"/v1/models/{SECRET}", params={"q": SECRET})
        _begin_and_leave(url, "/embed")
        assert not _written(process.pid, tmp_path)
    _assert_no_trace(tmp_path)


def test_nothing_of_a_picture_is_logged_or_written(tmp_path: Path) -> None:
    drawn = Image.effect_noise((1400, 1400), 90).convert("RGB")  # more than a megabyte, which a form would spool
    ImageDraw.Draw(drawn).text((20, 20), SECRET)
    content = BytesIO()
    drawn.save(content, "PNG")
    file = content.getvalue() + SECRET.encode()
    assert len(file) > 2 * 1024 * 1024
    with (
        program("vision", tmp_path, environment={"CRADLE_VISION_ENGINE": "fake"}) as (url, process),
        httpx2.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        answers = [
            client.post("/vision", files={SECRET: (SECRET, file)}),
            client.post("/vision", json={"files": [base64.b64encode(file).decode()]}),
            client.post("/vision", content=file, headers={"content-type": "image/png"}),
        ]
        for answer in answers:
            page, end = map(json.loads, answer.text.splitlines())
            assert page["text"].startswith("picture 1400 x 1400")
            assert (end["pages"], end["errors"]) == (1, 0)
        for broken in (SECRET.encode(), b"%PDF-1.7\n" + SECRET.encode(), file[:1000]):
            client.post("/vision", content=broken, headers={"content-type": "application/pdf"})
        _begin_and_leave(url, "/vision")
        assert not _written(process.pid, tmp_path)
    _assert_no_trace(tmp_path)


def _written(process: int, home: Path) -> list[str]:
    """Files with anything in them that the running process has open, or that lie in its folders, but for its log."""
    opened = [path.resolve() for path in Path(f"/proc/{process}/fd").iterdir() if path.exists()]
    temporary = [str(path) for path in opened if path.is_file() and path != home / "log" and "/tmp" in str(path)]
    return temporary + [str(path) for path in home.rglob("*") if path.is_file() and path != home / "log"]


def _assert_no_trace(home: Path) -> None:
    for path in home.rglob("*"):
        assert SECRET not in path.name
        if path.is_file():
            content = path.read_text(errors="replace")
            assert not any(trace in content for trace in TRACES), path.name
            assert "Traceback" not in content


def _begin_and_leave(url: str, path: str) -> None:
    def pieces() -> object:
        yield HALF_SECRET
        raise ConnectionError

    with httpx2.Client(base_url=url, trust_env=False) as client, pytest.raises(ConnectionError):
        client.post(path, content=pieces(), headers={"content-type": "application/json"})  # type: ignore[arg-type]


ONE_AT_A_TIME = {"CRADLE_EMBEDDINGS_MODEL": "fake", "CRADLE_SERVICE_REQUESTS": "1"}


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_hand_is_answered_before_it_ends(tmp_path: Path, stop: signal.Signals) -> None:
    environment = ONE_AT_A_TIME | {"CRADLE_SERVICE_LINGER": "2", "CRADLE_DRAIN_SECONDS": "60"}
    with program("embeddings", tmp_path, environment=environment) as (url, process), ThreadPoolExecutor(1) as pool:
        answer = _in_hand(pool, url)
        process.send_signal(stop)
        assert answer.result().status_code == 200
        assert process.wait(60) == 0
    assert (tmp_path / "log").read_text() == ""


def test_what_takes_longer_than_it_may_is_told_so_at_the_end(tmp_path: Path) -> None:
    environment = ONE_AT_A_TIME | {"CRADLE_SERVICE_LINGER": "10", "CRADLE_DRAIN_SECONDS": "0.1"}
    with program("embeddings", tmp_path, environment=environment) as (url, process), ThreadPoolExecutor(1) as pool:
        answer = _in_hand(pool, url)
        process.terminate()
        assert answer.result().json()["code"] == "service.stopping"
        assert process.wait(60) == 0
    _assert_no_trace(tmp_path)


def _in_hand(pool: ThreadPoolExecutor, url: str) -> "Future[httpx2.Response]":
    """The answer to come of a request that the service has taken: of the one that it takes at a time."""
    with httpx2.Client(base_url=url, trust_env=False, timeout=60) as client:

        def is_full() -> bool:
            return client.post("/tokenize", json={"inputs": "x"}).status_code == 429

        assert not is_full()
        while True:
            answer = pool.submit(_ask, url)
            wait_until(lambda it=answer: it.done() or is_full())  # type: ignore[misc]
            if not answer.done():
                return answer


def _ask(url: str) -> httpx2.Response:
    return httpx2.post(f"{url}/embed", json={"inputs": SECRET}, trust_env=False, timeout=60)


def test_a_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with program("embeddings", tmp_path, environment={"CRADLE_EMBEDDINGS_MODEL": "fake"}) as (url, _):
        done = _started(tmp_path, "embeddings", "--port", str(httpx2.URL(url).port), CRADLE_EMBEDDINGS_MODEL="fake")
    assert done.returncode == 1
    assert "choose one with --port" in done.stderr


def test_without_a_token_it_answers_this_machine_alone(tmp_path: Path) -> None:
    for arguments in (["--host", "all"], ["--host", str(IPv4Address(0))], ["--host", "192.0.2.1"]):
        done = _started(tmp_path, "embeddings", *arguments, CRADLE_EMBEDDINGS_MODEL="fake")
        assert done.returncode == 2
        assert "CRADLE_SERVICE_TOKEN" in done.stderr
    settings = {"CRADLE_EMBEDDINGS_MODEL": "fake", "CRADLE_SERVICE_TOKEN": "t" * 32, "CRADLE_SERVICE_HOST": "all"}
    with program("embeddings", tmp_path, environment=settings) as (url, _):
        assert httpx2.post(f"{url}/embed", json={"inputs": "x"}, trust_env=False).status_code == 401
        right = {"Authorization": "Bearer " + "t" * 32}
        assert httpx2.post(f"{url}/embed", json={"inputs": "x"}, headers=right, trust_env=False).status_code == 200


@pytest.mark.parametrize(
    ("what", "setting", "says"),
    [
        ("embeddings", {"CRADLE_EMBEDDINGS_MODEL": "nothing"}, "no embedding engine called 'nothing'"),
        ("embeddings", {"CRADLE_EMBEDDINGS_MODEL": "sentence-transformers:/nowhere"}, "folder does not exist"),
        ("vision", {"CRADLE_VISION_ENGINE": "nothing"}, "no vision engine called 'nothing'"),
        ("vision", {"CRADLE_VISION_ENGINE": "none"}, "no vision engine called 'none'"),
    ],
)
def test_an_engine_that_does_not_exist_is_told_at_once(
    tmp_path: Path, what: str, setting: dict[str, str], says: str
) -> None:
    done = _started(tmp_path, what, "--port", str(free_port()), **setting)
    assert done.returncode == 1
    assert says in " ".join(done.stderr.split())


def _started(home: Path, what: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "cradle", "serve", what, *arguments]
    return subprocess.run(
        command, env=surroundings(home) | environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_hundred_first_callers_are_answered_by_the_builtin_model(tmp_path: Path) -> None:
    with (
        program("embeddings", tmp_path) as (url, _),
        httpx2.Client(base_url=url, trust_env=False, timeout=60) as client,
        ThreadPoolExecutor(100) as pool,
    ):
        texts = [f"valve number {number}" for number in range(100)]
        answers = [pool.submit(client.post, "/v1/embeddings", json={"input": text}) for text in texts]
        vectors = [answer.result().json()["data"][0]["embedding"] for answer in answers]
        assert vectors[7] == client.post("/embed", json={"texts": [texts[7]]}).json()["embeddings"][0]
        assert len({tuple(vector) for vector in vectors}) == 100
        wait_until(lambda: client.get("/health").json() == {"status": "ok", "model": "builtin", "loaded": True})
