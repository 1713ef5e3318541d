"""The program as the container runs it: a process that starts, answers, writes nothing and ends when it is told."""

import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import httpx2
import pytest

from infra.local.processes import free_port
from tests.appliance.serving import TOKEN, program, serving, surroundings, write_token_file


@pytest.mark.parametrize("content", [None, "", "not a hash", TOKEN])
def test_it_does_not_start_without_a_token(layers: Path, tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "token.argon2"
    if content is not None:
        file.write_text(content)
    environment = surroundings() | {"APPLIANCE_TOKEN_FILE": str(file)}
    done = subprocess.run(
        [*program(layers), "serve"], check=False, env=environment, capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert str(file) in done.stderr
    assert "--open" in done.stderr
    assert TOKEN not in done.stderr


def test_it_starts_with_the_token_s_hash(layers: Path, tmp_path: Path) -> None:
    file = write_token_file(tmp_path / "token.argon2")
    with serving(layers, environment={"APPLIANCE_TOKEN_FILE": str(file)}) as appliance:
        with appliance.client(TOKEN) as client:
            assert client.get("/api/about").status_code == 200
        with appliance.client("wrong") as client:
            assert client.get("/api/about").status_code == 401


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_a_second_also_while_somebody_listens(layers: Path, stop: signal.Signals) -> None:
    with serving(layers, "--open") as appliance, appliance.client() as client:
        stream = {"Accept": "text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
        with client.stream("GET", "/mcp", headers=stream) as listening:
            assert listening.status_code in {200, 405}
            told = time.monotonic()
            appliance.process.send_signal(stop)
            assert appliance.process.wait(5) == 0
            assert time.monotonic() - told < 1


@pytest.mark.parametrize("command", [["serve", "--open", "--port", str(free_port())], ["stdio"]])
def test_it_ends_while_it_starts(layers: Path, command: list[str]) -> None:
    """As process 1 of a container it has to see to that itself; here the default would end it with -15."""
    process = subprocess.Popen([*program(layers), *command], env=surroundings(), stdin=subprocess.PIPE)
    handled = 1 << (signal.SIGTERM - 1)
    deadline = time.monotonic() + 20
    while not _signals_caught(process.pid) & handled:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.terminate()
    assert process.wait(5) == 0
    assert process.stdin is not None
    process.stdin.close()


def _signals_caught(pid: int) -> int:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:")]
    return int(line.split()[1], 16)


def test_a_port_that_is_taken_is_an_error(layers: Path) -> None:
    with serving(layers, "--open") as appliance:
        port = str(httpx2.URL(appliance.url).port)
        command = [*program(layers), "serve", "--open", "--host", "127.0.0.1", "--port", port]
        done = subprocess.run(command, check=False, env=surroundings(), capture_output=True, text=True, timeout=30)
    assert done.returncode not in {0, 2}
    assert "address already in use" in done.stderr


def test_healthcheck_says_whether_it_answers(layers: Path) -> None:
    with serving(layers, "--open") as appliance:
        check = [*program(layers), "healthcheck", "--port", str(httpx2.URL(appliance.url).port)]
        assert subprocess.run(check, check=False, timeout=30).returncode == 0
    done = subprocess.run(check, check=False, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (1, "")
    assert "does not answer" in done.stderr


def test_nothing_of_a_question_or_a_document_is_logged(layers: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        port = str(free_port())
        command = [*program(layers), "serve", "--open", "--host", "127.0.0.1", "--port", port]
        process = subprocess.Popen(command, env=surroundings(), stdout=output, stderr=output)
        _wait_for(f"http://127.0.0.1:{port}/healthz")
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}") as client:
            client.get("/api/search", params={"question": "secret contract"})
            client.get("/api/search", params={"question": "secret", "limit": 0})
            client.get("/api/documents/secret.txt")
            client.post("/mcp", content=b'{"secret": 1}', headers={"Content-Type": "application/json"})
            client.post("/mcp", json={"secret": "x" * 300_000})
        _begin_and_leave(int(port), "/api/search")
        _begin_and_leave(int(port), "/mcp")
        process.terminate()
        process.wait(10)
    assert "secret" not in log.read_text()
    assert "Traceback" not in log.read_text()


def _begin_and_leave(port: int, path: str) -> None:
    """Sends half a request; returns once the server has ended the connection too."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head.encode() + b'{"secret')
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass


def test_many_ask_at_once(layers: Path) -> None:
    statuses: list[int] = []

    def ask(url: str) -> None:
        with httpx2.Client(base_url=url) as client:
            statuses.extend(
                client.get("/api/search", params={"question": f"valves {i}"}).status_code for i in range(10)
            )

    with serving(layers, "--open") as appliance:
        threads = [threading.Thread(target=ask, args=(appliance.url,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert statuses == [200] * 80


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            assert httpx2.get(url).status_code == 200
            return
        except httpx2.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def resident_mebibytes(pid: int) -> float:
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024
