"""Picks the adapter of a port by its URL's scheme, and imports it only then."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from schemas.errors import CradleError


def adapter(port: str, url: str, table: Mapping[str, str]) -> Any:
    """The object named by `table[scheme of url]`, a string `module:attribute`.

    Raises CradleError `settings.scheme`, naming the schemes that are known.
    """
    scheme = url.partition(":")[0]
    if scheme not in table:
        raise CradleError(
            "settings.scheme",
            port=port,
            scheme=scheme,
            known=", ".join(sorted(table)),
            setting=f"{port}_url".upper(),
        )
    module, _, attribute = table[scheme].partition(":")
    return getattr(import_module(module), attribute)
