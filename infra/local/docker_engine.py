"""Docker engines for the tests that run an image: `python -m infra.local.docker_engine up | down [--store STORE]`.

The classic store's is the machine's own `dockerd`: only for a machine that has it but runs none, as CI does. Its
containers get a bridge, and what they publish is reached on 127.0.0.1 alone. The containerd store's is a newer one,
which comes with it (`infra.local.debian_docker`). Both need root. Everything lies under `.services/docker` and
`.services/docker-containerd`.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infra.local import debian_docker
from infra.local.processes import alive, private_folder, start_detached, wait_until
from schemas.errors import CradleError

ROOT: Final = Path(__file__).parents[2] / ".services" / "docker"
CONTAINERD_ROOT: Final = ROOT.with_name("docker-containerd")
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


def up(store: str = "classic") -> int:
    """Returns 0 once the engine answers; harmless where it runs. Raises CradleError."""
    engine = STORES[store]
    root = private_folder(engine.root)
    if answers(address(root)):
        return 0
    log = root / "log"
    process = start_detached(engine.command(root), log=log)
    wait_until(lambda: answers(address(root)), name=NAME, log=log, seconds=SECONDS, process=process)
    return 0


def down(store: str = "classic") -> int:
    """Stops it; its images stay."""
    root = STORES[store].root
    if (root / "pid").exists() and answers(address(root)):
        pid = int((root / "pid").read_text())
        os.kill(pid, signal.SIGTERM)
        wait_until(lambda: not alive(pid), name=NAME, log=root / "log", seconds=SECONDS)
    return 0


def _classic(root: Path) -> list[str]:
    dockerd = shutil.which("dockerd")
    if dockerd is None:
        raise CradleError("service.missing", name=NAME, what="dockerd", how="apt install docker.io")
    return [dockerd, *_options(root, BRIDGE)]


def _containerd(root: Path) -> list[str]:
    return debian_docker.command(root, _options(debian_docker.STATE, NO_NETWORK))


def _options(seen: Path, network: Sequence[str]) -> list[str]:
    """Of an engine that sees its folder as `seen`."""
    places = [f"--data-root={seen}/data", f"--exec-root={seen}/exec", f"--pidfile={seen}/pid"]
    return [f"--host={address(seen)}", *places, *network]


@dataclass(frozen=True, slots=True)
class Engine:
    root: Path
    command: Callable[[Path], list[str]]


STORES: Final = {"classic": Engine(ROOT, _classic), "containerd": Engine(CONTAINERD_ROOT, _containerd)}
ACTIONS: Final = {"up": up, "down": down}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.local.docker_engine", description="Docker for the tests.")
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("--store", choices=STORES, default="classic", help="where the engine keeps its images")
    asked = parser.parse_args(arguments)
    return ACTIONS[asked.action](asked.store)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CradleError as error:
        sys.exit(f"{error.sentence} {error.next_step}")
