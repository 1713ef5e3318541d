"""Who writes an image's layers: this process itself, or a Docker engine that runs a Dockerfile.

Both leave the same layout, with the same files in its layers and the same settings of a container. Only what this
process writes is the same to the byte each time: an engine puts its own times on the folders that it makes.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, cast

from builders.oci.layout import Layer, RunSettings
from builders.oci.read import Image
from schemas.errors import CradleError


class Backend(Protocol):
    def write(
        self,
        folder: Path,
        base: Image | None,
        layers: Sequence[Layer],
        run: RunSettings,
        annotations: Mapping[str, str],
    ) -> str:
        """Writes into the empty `folder` an OCI layout of one image: the base's layers, then `layers`.

        Returns the manifest's digest. Raises Retryable `dependency.away`: the engine does not answer or has no room.
        """


BACKENDS: Final = {
    "daemonless": "builders.backends.daemonless",
    "docker": "builders.backends.docker_engine",
}
"""Modules with an `open_backend(address)`, by the word before the first colon of CRADLE_BUILDER."""


def open_backend(name: str) -> Backend:
    """`daemonless`, `docker` for the engine that DOCKER_HOST names, or `docker:unix:///run/docker.sock`.

    Raises CradleError `settings.invalid`.
    """
    kind, _, address = name.partition(":")
    if kind not in BACKENDS:
        raise CradleError("settings.invalid", what=f"builder: it is one of {', '.join(BACKENDS)}")
    return cast(Backend, import_module(BACKENDS[kind]).open_backend(address))
