"""Real services for developers and tests: `python -m infra.local.services up | down | status`, or `make services`.

Apache Kafka (jars from Maven), an S3 server (versitygw, a Go module) and Redis (from the system), each on a port of
127.0.0.1 that is chosen once. Everything lies under `.services/`; the tests find them through `.services/env`.
"""

# ruff: noqa: S603 (every command is spelt out here; none comes from a user)

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from infra.local.kafka import KafkaNode, bring_jars
from infra.local.processes import HOST, free_port, listens, private_folder
from infra.local.server import Server
from schemas.errors import CradleError

ROOT: Final = Path(__file__).parents[2] / ".services"
VERSITYGW: Final = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"
Settings = dict[str, str]


def kafka_node(root: Path) -> KafkaNode:
    return KafkaNode(root / "kafka" / "node", root / "kafka" / "libs")


def s3_server(root: Path, known: Mapping[str, str]) -> Server:
    """versitygw over the folder `.services/s3/data`, with the credentials that `.services/env` remembers."""
    port = _port(known.get("CRADLE_TEST_S3"))
    return Server(
        "The S3 server",
        root / "s3",
        port,
        [_versitygw(root), "--port", f"{HOST}:{port}", "--quiet", "posix", root / "s3" / "data"],
        env={
            "ROOT_ACCESS_KEY": known.get("CRADLE_TEST_S3_ACCESS_KEY") or secrets.token_hex(10),
            "ROOT_SECRET_KEY": known.get("CRADLE_TEST_S3_SECRET") or secrets.token_hex(20),
        },
    )


def redis_server(root: Path, known: Mapping[str, str]) -> Server:
    port = _port(known.get("CRADLE_TEST_REDIS"))
    command = [shutil.which("redis-server") or "", "--port", str(port), "--bind", HOST, "--save", "", "--dir"]
    return Server("Redis", root / "redis", port, [*command, root / "redis"])


def start_kafka(root: Path, known: Mapping[str, str]) -> Settings:
    libs = bring_jars(root / "kafka" / "libs")
    node = kafka_node(root)
    node.start()
    return {"CRADLE_TEST_KAFKA": node.address, "CRADLE_TEST_KAFKA_LIBS": str(libs)}


def start_s3(root: Path, known: Mapping[str, str]) -> Settings:
    _install_versitygw(root)
    private_folder(root / "s3" / "data")
    server = _on_a_free_port(s3_server, root, known, "CRADLE_TEST_S3")
    server.start()
    return {
        "CRADLE_TEST_S3": f"http://{HOST}:{server.port}",
        "CRADLE_TEST_S3_ACCESS_KEY": server.env["ROOT_ACCESS_KEY"],
        "CRADLE_TEST_S3_SECRET": server.env["ROOT_SECRET_KEY"],
    }


def start_redis(root: Path, known: Mapping[str, str]) -> Settings:
    if shutil.which("redis-server") is None:
        raise CradleError("service.missing", name="Redis", what="redis-server", how="apt install redis-server")
    server = _on_a_free_port(redis_server, root, known, "CRADLE_TEST_REDIS")
    server.start()
    return {"CRADLE_TEST_REDIS": f"{HOST}:{server.port}"}


STARTS: Final[dict[str, Callable[[Path, Mapping[str, str]], Settings]]] = {
    "kafka": start_kafka,
    "s3": start_s3,
    "redis": start_redis,
}


def up(root: Path = ROOT) -> int:
    """Starts what it can and writes `.services/env`. Returns how many services it could not start."""
    private_folder(root)
    known = read_env(root)
    found: Settings = {}
    failures = 0
    for name, start in STARTS.items():
        try:
            settings = start(root, known)
        except CradleError as error:
            failures += 1
            print(f"{name:6} {error.sentence} {error.next_step}", file=sys.stderr)
        else:
            found |= settings
            print(f"{name:6} {next(iter(settings.values()))}")
    _write_env(root, found)
    return failures


def down(root: Path = ROOT) -> int:
    """Stops them all; their data, ports and credentials stay."""
    for name, (_, stop) in _known(root).items():
        print(f"{name:6} {'stopped' if stop() else 'was not running'}")
    return 0


def status(root: Path = ROOT) -> int:
    """Returns how many of them do not run."""
    running = {name: is_running() for name, (is_running, _) in _known(root).items()}
    for name, runs in running.items():
        print(f"{name:6} {'running' if runs else 'not running'}")
    return list(running.values()).count(False)


def read_env(root: Path = ROOT) -> Settings:
    """What `.services/env` says, a `NAME=value` a line."""
    file = root / "env"
    lines = file.read_text().splitlines() if file.exists() else []
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _write_env(root: Path, settings: Settings) -> None:
    unfinished = root / "env.new"
    unfinished.touch(mode=0o600)
    unfinished.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    unfinished.rename(root / "env")


def _known(root: Path) -> dict[str, tuple[Callable[[], bool], Callable[[], bool]]]:
    """Of each service: whether it runs, and how to stop it."""
    known = read_env(root)
    kafka, s3, redis = kafka_node(root), s3_server(root, known), redis_server(root, known)
    return {name: (it.running, it.stop) for name, it in (("kafka", kafka), ("s3", s3), ("redis", redis))}


def _on_a_free_port(
    server: Callable[[Path, Mapping[str, str]], Server], root: Path, known: Mapping[str, str], name: str
) -> Server:
    """The server on the port it had, or on a new one where somebody else took that."""
    same = server(root, known)
    if same.running() or not listens(same.port):
        return same
    return server(root, {key: value for key, value in known.items() if key != name})


def _port(address: str | None) -> int:
    return int(address.rpartition(":")[2]) if address else free_port()


def _versitygw(root: Path) -> Path:
    return root / "bin" / VERSITYGW.rpartition("@")[2] / "versitygw"


def _install_versitygw(root: Path) -> None:
    program = _versitygw(root)
    if program.exists():
        return
    go = shutil.which("go")
    if go is None:
        raise CradleError("service.missing", name="The S3 server", what="Go 1.24 or later", how="https://go.dev/dl")
    environment = os.environ | {"GOBIN": str(program.parent.resolve())}
    if subprocess.run([go, "install", VERSITYGW], env=environment, check=False).returncode != 0:
        raise CradleError(
            "service.missing", name="The S3 server", what=VERSITYGW, how="read the messages of `go install` above"
        )


COMMANDS: Final[dict[str, Callable[[], int]]] = {"up": up, "down": down, "status": status}


def main(words: list[str]) -> int:
    """Exit code: 0 done, 1 some service is missing, 2 wrong use."""
    if len(words) != 1 or words[0] not in COMMANDS:
        print("usage: python -m infra.local.services up | down | status", file=sys.stderr)
        return 2
    return min(COMMANDS[words[0]](), 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
