"""One background process that listens on a port of 127.0.0.1. Its pid file makes it known to later processes."""

import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.local.processes import alive, listens, private_folder, start_detached, wait_until

STOP_SECONDS = 30


@dataclass(frozen=True)
class Server:
    name: str
    folder: Path
    """Holds `pid` and `log`; made on start, for its owner alone."""
    port: int
    command: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables besides our own."""
    start_seconds: float = 30

    def start(self) -> None:
        """Returns once the port answers; harmless where it runs. Raises CradleError `service.start`."""
        if self.running():
            return
        private_folder(self.folder)
        process = start_detached(self.command, log=self.log, env=os.environ | dict(self.env), cwd=self.folder)
        self._pid_file.write_text(str(process.pid))
        wait_until(self.running, name=self.name, log=self.log, seconds=self.start_seconds, process=process)

    def stop(self) -> bool:
        """Asks it to end and waits until it has. True if it ran."""
        return self._end(signal.SIGTERM)

    def kill(self) -> bool:
        """SIGKILL: it gets no chance to write anything. True if it ran."""
        return self._end(signal.SIGKILL)

    def running(self) -> bool:
        pid = self._pid()
        return pid is not None and alive(pid) and listens(self.port)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def _pid_file(self) -> Path:
        return self.folder / "pid"

    def _pid(self) -> int | None:
        try:
            return int(self._pid_file.read_text())
        except (OSError, ValueError):
            return None

    def _end(self, how: signal.Signals) -> bool:
        pid = self._pid()
        if pid is None or not self.running():  # an old pid may belong to somebody else by now
            return False
        os.kill(pid, how)
        wait_until(lambda: not alive(pid), name=self.name, log=self.log, seconds=STOP_SECONDS)
        self._pid_file.unlink()
        return True
