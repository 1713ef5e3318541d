"""One whole installation under test: settings in the environment, stages as processes, the `cradle` command on top."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cradle.flow import read_flow

STAGES = tuple(read_flow().stages)
CUSTOMER = "brennlund"


@dataclass
class Road:
    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    """Beyond CRADLE_HOME: the URLs of real services; empty for the embedded stack."""
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    through: Sequence[str] = ()
    """A command that runs the command given after it, as `env` does."""

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("CRADLE_")}
        temporary = self.home / "tmp"  # where a library might leave something: the canary's scan looks here too
        temporary.mkdir(exist_ok=True)
        return {**clean, "CRADLE_HOME": str(self.home), "TMPDIR": str(temporary), **self.settings}

    def run(self, *words: str, ok: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """`cradle words...`; fails the test with what it printed if `ok` and it does not exit with 0."""
        done = subprocess.run(
            [*self.through, sys.executable, "-m", "cradle", *words],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert not ok or done.returncode == 0, f"cradle {' '.join(words)}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *words: str, timeout: float = 120) -> Any:
        return json.loads(self.run(*words, "--json", timeout=timeout).stdout)

    def start(self, *stages: str) -> list[subprocess.Popen[bytes]]:
        """One process a stage, each with its log under the home."""
        started = []
        for stage in stages:
            with (self.home / f"{stage}-{len(self.workers)}.log").open("wb") as log:
                process = subprocess.Popen(
                    [*self.through, sys.executable, "-m", "cradle", "run", stage],
                    env=self.environment,
                    cwd=self.home,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    stdin=subprocess.DEVNULL,
                )
            self.workers.append(process)
            started.append(process)
        return started

    def stop(self) -> None:
        for worker in self.workers:
            if worker.poll() is None:
                worker.send_signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.wait(20)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()
        self.workers.clear()

    def logs(self) -> str:
        return "\n".join(f"== {log.name}\n{log.read_text()}" for log in sorted(self.home.glob("*.log")))

    def wait_for_job(self, job: str, *, seconds: float = 120) -> dict[str, Any]:
        """The job's report once it is baked or failed. One process waits: a new one for each look would cost a core."""
        report: dict[str, Any] = {}
        deadline = time.monotonic() + seconds

        def settled() -> bool:
            left = max(1, round(deadline - time.monotonic()))
            self.run("wait", job, "--timeout", str(left), ok=False, timeout=left + 60)
            report.update(self.json("job", job))
            return report["state"] in ("baked", "failed")

        wait_until(settled, seconds=seconds, why=lambda: f"job still {report}\n{self.logs()}")
        return report


def wait_until(condition: Callable[[], bool], *, seconds: float, why: Callable[[], str]) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)
