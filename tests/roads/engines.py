"""The container engines that customers have: Docker with each of its two stores, and Podman."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.local import docker_engine
from tests.conftest import IN_CI

CONFINED = ("--rm", "--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")


@dataclass(frozen=True)
class Engine:
    program: str
    environment: Mapping[str, str]

    def __call__(self, *arguments: str) -> str:
        """What it prints on stdout; it must succeed."""
        done = self.tried(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def tried(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self.program, *arguments], check=False, capture_output=True, text=True, env=self.variables()
        )

    def variables(self) -> dict[str, str]:
        """The environment in which its program, and a script that calls it, find the engine."""
        return {**os.environ, "ENGINE": self.program, **self.environment}

    def names(self) -> set[str]:
        """Of all images that it shows: `cradle/acme:v1.0`."""
        listed = self("image", "ls", "--all", "--format", "{{.Repository}}:{{.Tag}}").split()
        return {name.removeprefix("docker.io/") for name in listed}

    def run(self, *arguments: str) -> str:
        """Of an image that is here: options, the image, its arguments."""
        return self("run", "--pull=never", *CONFINED, *arguments)


def docker_with(host: str) -> Engine:
    return Engine("docker", {"DOCKER_HOST": host})


def containerd_store() -> Engine:
    host = docker_engine.address(docker_engine.CONTAINERD_ROOT)
    if not docker_engine.answers(host):
        missing("no engine of that store answers: `python -m infra.local.docker_engine up --store containerd`")
    return docker_with(host)


def podman(folder: Path) -> Engine:
    """One whose images lie under `folder`."""
    if shutil.which("podman") is None:
        missing("podman is not installed")
    storage, settings = folder / "storage.conf", folder / "containers.conf"
    places = f'graphroot="{folder}/images"\nrunroot="{folder}/run"\n'
    storage.write_text(f'[storage]\ndriver="overlay"\n{places}')
    # its own limits are higher than what a machine may allow that is itself confined
    limits = 'default_ulimits=["nofile=1024:1024","nproc=1024:1024"]\n'
    settings.write_text(f'[containers]\n{limits}[engine]\ncgroup_manager="cgroupfs"\nevents_logger="none"\n')
    return Engine("podman", {"CONTAINERS_STORAGE_CONF": str(storage), "CONTAINERS_CONF": str(settings)})


def missing(sentence: str) -> None:
    if IN_CI:
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)
