"""Nothing but the archive's adapters opens the archive for writing, and they have no way to remove or replace."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.archive import ADAPTERS

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "cradle",
    "producers",
    "consumers",
    "operations",
    "builders",
    "engines",
    "infra",
    "schemas",
    "appliance",
    "services",
)
HOME = ROOT / "infra" / "archive"
KNOW_THE_FOLDER = {"infra/archive/names.py", "infra/paths.py"}
"""Where the archive's folder is named: its names, and `CustomerPaths.archived`, which gives names and no path."""
REMOVING = frozenset(
    {
        "delete_object",
        "delete_objects",
        "rename",
        "replace",
        "rmtree",
        "truncate",
        "rmdir",
        "copy_object",
        "write_bytes",
        "write_text",
    }
)


def _sources() -> list[Path]:
    return sorted(path for name in PACKAGES for path in (ROOT / name).rglob("*.py"))


def _texts(source: Path) -> Iterator[str]:
    """Its string constants, those of f-strings too, but no docstring."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def _names_the_folder(source: Path) -> bool:
    """The bare word is a command's name as well, in `cradle/commands`."""
    word = set() if source.parent.name == "commands" else {"versions"}
    return any(text in word or text.startswith("versions/") or "/versions/" in text for text in _texts(source))


def test_only_the_archive_knows_its_folder() -> None:
    assert {str(path.relative_to(ROOT)) for path in _sources() if _names_the_folder(path)} == KNOW_THE_FOLDER


def test_nobody_imports_an_adapter() -> None:
    adapters = {target.partition(":")[0] for target in ADAPTERS.values()}
    importing = {
        str(path.relative_to(ROOT))
        for path in _sources()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in adapters
    }
    assert importing == set(), "the port is all that anybody uses"


@pytest.mark.parametrize("adapter", ["files", "s3", "memory"])
def test_an_adapter_calls_nothing_that_removes_or_replaces(adapter: str) -> None:
    tree = ast.parse((HOME / f"{adapter}.py").read_text(encoding="utf-8"))
    called = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert called & REMOVING == set()
    assert ("unlink" in called) == (adapter == "files"), "what is unfinished, in a folder of its own"
