"""Picks an engine's module by the name before the ':' in its configured model, and imports it only then."""

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

from schemas.errors import Permanent


def engine_module(port: str, model: str, table: Mapping[str, str]) -> ModuleType:
    """The module that `table` names for the model. Raises Permanent `engine.unknown`."""
    name = model.partition(":")[0]
    if name not in table:
        raise Permanent("engine.unknown", port=port, name=name, known=", ".join(table))
    return import_module(table[name])
