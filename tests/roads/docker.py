"""A Docker engine and a base, for the roads on which an image runs as at its customer's.

The engine is the one that `python -m infra.local.docker_engine up` starts, or the machine's own. The base is made once
and kept in `.services`, named by its recipe; making it needs root and debootstrap.
"""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from builders.base import make_base, recipe
from builders.oci.archive import save
from builders.oci.read import open_image
from infra.local import docker_engine
from tests.conftest import IN_CI, ROOT

OWN_ENGINE = docker_engine.address()
MACHINES_ENGINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


def docker(host: str, *arguments: str) -> str:
    """What `docker` prints on stdout; it must succeed."""
    done = subprocess.run(["docker", "--host", host, *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def loaded(layout: Path, host: str) -> Iterator[str]:
    """The image of that layout in the engine, under a name of its own."""
    name = f"cradle-test/{uuid4().hex}:v1.0"
    tar = layout.parent / f"{uuid4().hex}.tar"
    save(open_image(layout), tar, name=name)
    docker(host, "load", "--input", str(tar))
    tar.unlink()
    try:
        yield name
    finally:
        docker(host, "image", "rm", "--force", name)


@pytest.fixture(scope="session")
def docker_engine_host() -> str:
    """What `docker --host` takes."""
    for host in (OWN_ENGINE, MACHINES_ENGINE):
        if docker_engine.answers(host):
            return host
    sentence = "no Docker engine answers: `python -m infra.local.docker_engine up` starts one"
    if IN_CI:
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)


@pytest.fixture(scope="session")
def base() -> Path:
    """The layout of a base in which the appliance runs."""
    layout = ROOT / ".services" / f"base-{recipe()}"
    layout.parent.mkdir(exist_ok=True)
    with (layout.parent / "base.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not layout.exists():
            if os.geteuid() != 0 and not IN_CI:
                pytest.skip("making the base needs root")
            make_base(layout)
    open_image(layout).verify()
    return layout
