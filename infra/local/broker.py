"""The embedded broker: `noida-db`, one small process that speaks Kafka's and Redis' protocols on 127.0.0.1.

For trying and developing: it does not keep its log through SIGKILL. Durability is Apache Kafka's.
"""

# ruff: noqa: S603 (every command is spelt out here; none comes from a user)

import json
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from infra.local.processes import HOST, alive, listens, private_folder, wait_until
from schemas.errors import CradleError

START_SECONDS: Final = 15


class EmbeddedBroker:
    """One broker with its data in `folder`, on two ports of 127.0.0.1."""

    def __init__(self, folder: Path, *, kafka_port: int, redis_port: int) -> None:
        self.folder = folder.resolve()
        self.kafka_port = kafka_port
        self.redis_port = redis_port

    @property
    def broker_url(self) -> str:
        return f"kafka://{HOST}:{self.kafka_port}"

    @property
    def progress_url(self) -> str:
        return f"redis://{HOST}:{self.redis_port}/0"

    def start(self) -> None:
        """Starts it unless it runs; returns once both ports answer. Raises CradleError `service.start`."""
        if self.running():
            return
        private_folder(self.folder)
        ports = ("--kafka-port", str(self.kafka_port), "--redis-port", str(self.redis_port))
        self._command("up", "--only", "kafka,redis", *ports)
        wait_until(self.running, name="The embedded broker", log=self._log, seconds=START_SECONDS)

    def stop(self) -> bool:
        """Writes its data to disk and stops it. True if it ran."""
        if not self.running():
            return False
        pid = self._pid()
        self._command("down")
        wait_until(
            lambda: pid is None or not alive(pid),
            name="The embedded broker",
            log=self._log,
            seconds=START_SECONDS,
        )
        return True

    def running(self) -> bool:
        pid = self._pid()
        return pid is not None and alive(pid) and listens(self.kafka_port) and listens(self.redis_port)

    @property
    def _log(self) -> Path:
        return self.folder / "noida.log"

    def _pid(self) -> int | None:
        try:
            return int(json.loads((self.folder / "noida.control.json").read_text())["pid"])
        except (OSError, ValueError, KeyError):
            return None

    def _command(self, *words: str) -> None:
        result = subprocess.run(
            [_program(), *words, "--data-dir", self.folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # some systems' loader warns about a weak symbol, which harms nothing
            start_new_session=True,
            check=False,
            timeout=START_SECONDS,
        )
        if result.returncode != 0:
            raise CradleError("service.start", name="The embedded broker", log=self._log)


def _program() -> Path:
    spec = find_spec("noida_db")
    if spec is None or not spec.submodule_search_locations:
        raise CradleError("service.missing", name="The embedded broker", what="noida-db", how="pip install noida-db")
    program = Path(spec.submodule_search_locations[0]) / "noida-db"
    if not program.stat().st_mode & 0o100:  # the wheel does not mark it executable
        program.chmod(0o755)
    return program
