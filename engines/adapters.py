"""Picks an engine by the name before the ':' in its configured model, and imports it only then."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from schemas.errors import Permanent


def engine_adapter(port: str, model: str, table: Mapping[str, str]) -> Any:
    """The function named by `table[name of model]`, a string `module:function`. Raises Permanent `engine.unknown`."""
    name = model.partition(":")[0]
    if name not in table:
        raise Permanent("engine.unknown", port=port, name=name, known=", ".join(table))
    module, _, function = table[name].partition(":")
    return getattr(import_module(module), function)
