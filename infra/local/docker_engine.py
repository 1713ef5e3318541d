"""A Docker engine for the tests that run an image: `python -m infra.local.docker_engine up | down`.

Only for a machine that has `dockerd` but runs none, as CI does; it needs root. Containers get a bridge, and what they
publish is reached on 127.0.0.1 alone. Everything lies under `.services/docker`.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from infra.local.processes import alive, private_folder, start_detached, wait_until
from schemas.errors import CradleError

ROOT: Final = Path(__file__).parents[2] / ".services" / "docker"
NAME: Final = "The Docker engine"
SECONDS: Final = 60
BRIDGE: Final = ("--ip=127.0.0.1", "--ip6tables=false")
NO_NETWORK: Final = ("--bridge=none", "--iptables=false", "--ip6tables=false")
"""Of a second engine: two would fight over one bridge."""


def address(root: Path = ROOT) -> str:
    """What `docker --host` takes."""
    return f"unix://{root}/docker.sock"


def answers(host: str) -> bool:
    """Whether an engine answers there."""
    docker = shutil.which("docker")
    asked = [docker or "docker", "--host", host, "version", "--format", "{{.Server.Version}}"]
    return docker is not None and subprocess.run(asked, capture_output=True, check=False).returncode == 0  # noqa: S603


def up(root: Path = ROOT, *, dockerd: Sequence[str | Path] = (), network: Sequence[str] = BRIDGE) -> int:
    """Returns 0 once the engine answers; harmless where it runs. Raises CradleError.

    `dockerd`: the command of another engine than the machine's; `network`: its options of networking.
    """
    if answers(address(root)):
        return 0
    command = list(dockerd) or [_dockerd()]
    private_folder(root)
    places = [f"--data-root={root}/data", f"--exec-root={root}/exec", f"--pidfile={root}/pid"]
    log = root / "log"
    process = start_detached([*command, f"--host={address(root)}", *places, *network], log=log)
    wait_until(lambda: answers(address(root)), name=NAME, log=log, seconds=SECONDS, process=process)
    return 0


def _dockerd() -> str:
    found = shutil.which("dockerd")
    if found is None:
        raise CradleError("service.missing", name=NAME, what="dockerd", how="apt install docker.io")
    return found


def down(root: Path = ROOT) -> int:
    """Stops it; its images stay."""
    if (root / "pid").exists() and answers(address(root)):
        pid = int((root / "pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid), name=NAME, log=root / "log", seconds=SECONDS)
    return 0


COMMANDS: Final = {"up": up, "down": down}

if __name__ == "__main__":
    try:
        sys.exit(COMMANDS[sys.argv[1]]())
    except CradleError as error:
        sys.exit(f"{error.sentence} {error.next_step}")
    except (IndexError, KeyError):
        sys.exit(f"usage: python -m infra.local.docker_engine {' | '.join(COMMANDS)}")
