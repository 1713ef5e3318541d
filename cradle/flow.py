"""The flow of this installation: topics.yaml, checked against the stages that are here."""

from importlib.resources import files
from pathlib import Path
from pkgutil import iter_modules
from typing import Final

from schemas.errors import CradleError
from schemas.topology import Topology, read_topology

FILE_NAME: Final = "topics.yaml"


def read_flow() -> Topology:
    """Raises CradleError `topology.*` for a flow that cannot work."""
    return read_topology(_text(), folders=_stage_folders())


def _text() -> str:
    package = files("cradle")
    for place in (package / FILE_NAME, Path(str(package)).parent / FILE_NAME):  # the wheel has it inside
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise CradleError("topology.invalid", what="the file is missing")


def _stage_folders() -> set[str]:
    import consumers

    return {module.name for module in iter_modules(consumers.__path__) if module.ispkg} - {"runtime"}
