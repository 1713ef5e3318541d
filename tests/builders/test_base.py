"""The base for images: what of the machine that made it stays out, and when it is out of date.

Making a whole one takes root and a minute; tests/roads/test_docker_image.py does that.
"""

import io
import tarfile
from pathlib import Path

import pytest

from builders import base

OF_THE_MACHINE = [
    "debootstrap/debootstrap.log",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/debian.sources",
    "etc/gshadow",
    "etc/hostname",
    "etc/machine-id",
    "etc/resolv.conf",
    "etc/shadow",
    "etc/shadow-",
    "usr/lib/dpkg/methods/apt/setup",
    "usr/local/lib/python3.11/dist-packages/bin/f2py",
    "usr/local/lib/python3.11/dist-packages/numpy-2.0.dist-info/RECORD",
    "var/cache/apt/pkgcache.bin",
    "var/lib/apt/lists/mirror_InRelease",
    "var/lib/dbus/machine-id",
    "var/log/apt/history.log",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
]
KEPT = [
    "etc/apt/apt.conf.d/70debconf",
    "etc/os-release",
    "etc/passwd",
    "usr/bin/python3",
    "usr/local/lib/python3.11/dist-packages/numpy-2.0.dist-info/METADATA",
    "usr/local/lib/python3.11/dist-packages/numpy/__init__.py",
    "var/lib/dpkg/status",
]


def test_nothing_of_the_machine_that_made_it_is_archived(tmp_path: Path) -> None:
    for name in (*OF_THE_MACHINE, *KEPT):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    written = io.BytesIO()
    base._archive(tmp_path, written.write)
    written.seek(0)
    with tarfile.open(fileobj=written) as tar:
        files = [entry for entry in tar if entry.isfile()]
    assert sorted(entry.name.removeprefix("./") for entry in files) == KEPT
    assert {entry.mtime for entry in files} == {0}


def test_another_recipe_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    today = base.recipe()
    assert base.recipe() == today
    changed = tmp_path / "base.py"
    changed.write_text(Path(base.__file__).read_text() + "\n# changed\n")
    with monkeypatch.context() as other:
        other.setattr(base, "__file__", str(changed))
        assert base.recipe() != today
    monkeypatch.setattr(base, "python_packages", lambda: ["numpy==0.0.0"])
    assert base.recipe() != today


def test_it_brings_what_the_appliance_imports_and_what_that_needs() -> None:
    names = {package.partition("==")[0] for package in base.python_packages()}
    assert names >= {"numpy", "mcp", "argon2-cffi", "argon2-cffi-bindings", "pydantic-core", "starlette", "uvicorn"}
    assert not names & {"pip", "apsw", "aiokafka", "cradle", "docker"}


def test_the_dockerfile_makes_the_same_contents() -> None:
    text = base.dockerfile("debian:another")
    assert text.count("FROM debian:another") == 2
    assert [package for package in base.python_packages() if f" {package}" not in text] == []
    assert " ".join(base.DEBIAN_PACKAGES) in text
    assert " ".join(base.COMPILE) in text
    assert "{{" not in text


@pytest.mark.parametrize("arguments", [[], ["--hlep"], ["base", "--dockerfile"]])
def test_wrong_use_makes_nothing(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "make_base", lambda into: pytest.fail(f"made {into}"))
    with pytest.raises(SystemExit, match="2"):
        base.main(arguments)
