"""`cradle image`: it needs no stack."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from builders.oci.read import open_image
from cradle.commands import app
from tests.builders.corpus import book, library
from tests.builders.test_image import updated
from tests.operations.test_search import bake


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRADLE_HOME", str(tmp_path))
    bake(tmp_path / "images" / "acme" / "one.1", library())
    return tmp_path


def shown(*words: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, ["image", *words, "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def said(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["image", *words], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result.stdout


def test_show_tells_what_is_in_an_image(home: Path) -> None:
    image = open_image(home / "images" / "acme" / "one.1")
    described = shown("show", "acme")
    assert (described["digest"], described["size"]) == (image.digest, image.size)
    assert [(layer["role"], layer["here"]) for layer in described["layers"]] == [
        ("appliance", True),
        ("data-000", True),
    ]
    [data] = described["data"]
    assert (data["documents"], data["chunks"], data["hidden"]) == (3, 7, 0)
    assert data["parameters"]["embedding_config"]["model"] == "fake"
    assert [one["bytes"] for one in described["largest"]] == sorted(
        (one.document.size for one in library()), reverse=True
    )
    assert described["runs"]["command"] == ["python3", "-m", "appliance", "serve"]
    assert "sqlite" in {one["name"] for one in described["software"]}
    told = said("show", "acme")
    assert image.digest in told
    assert "Führung/Ürlaub.md" in told
    assert "ffffffff" in told
    assert "does not run by itself" in told
    assert ["parameters.embedding_config.model", "fake"] in [line.split() for line in told.splitlines()]


def test_show_tells_an_update_from_what_it_lies_over(home: Path) -> None:
    full = home / "images" / "acme" / "one.1"
    updated(home / "update", full, [book("new.txt", "New.")], ("z.csv",))
    described = shown("show", str(home / "update"))
    assert [layer["here"] for layer in described["layers"]] == [False, False, True]
    assert [(data["layer"], data["documents"], data["hidden"]) for data in described["data"]] == [(1, 1, 2)]
    assert "only remembered" in said("show", str(home / "update"))


def test_diff_names_the_file_and_the_byte(home: Path) -> None:
    assert "one image" in said("diff", "acme", "acme")
    bake(home / "other", [*library()[:2], book("z.csv", "pump;VS-55;841 EUR\0\n😀 seal;VS-60;12 EUR")])
    told = shown("diff", "acme", str(home / "other"), code=1)["difference"]
    assert (told["where"], told["file"]) == ("layer 2 (data-000)", "data/000/data.sqlite")
    assert isinstance(told["byte"], int)
    assert "data/000/data.sqlite" in said("diff", "acme", str(home / "other"), code=1)


def test_save_writes_one_tar(home: Path) -> None:
    told = shown("save", "acme", str(home / "image.tar"), "--name", "cradle/acme:v1.0")
    assert open_image(home / "image.tar").digest == told["digest"] == shown("show", "acme")["digest"]


def test_an_image_that_is_not_there_is_wrong_use(home: Path) -> None:
    said("show", "nobody", code=2)
