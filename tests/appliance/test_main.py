import json
import sqlite3
import subprocess
from pathlib import Path

import pytest

from appliance.__main__ import main
from appliance.format import DATABASE
from builders.data_layer import PAGE_BYTES
from tests.appliance.serving import program, surroundings
from tests.builders.corpus import library
from tests.builders.test_data_layer import write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("main") / "data"
    write(folder / "000", library())
    return str(folder)


def test_search_answers_as_json(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", folder, "search", "notice in writing", "--limit", "1", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["understood"] == "lexical"
    [answer] = said["passages"]
    assert (answer["document"], answer["page"], answer["start"]) == ("a/contract.txt", 1, 39)
    assert answer["text"] == "Notice is given in writing."


def test_search_answers_in_words(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", folder, "search", "Urlaubsanspruch", "--limit", "1"]) == 0
    assert capsys.readouterr().out == (
        "Führung/Ürlaub.md, page 1\nDer Urlaubsanspruch beträgt 30 Tage.\n\nUnderstood by its words alone.\n"
    )


def test_a_file_that_cannot_be_read_is_an_error_without_a_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "000", library())
    database = tmp_path / "000" / DATABASE
    with database.open("r+b") as file:
        [root] = sqlite3.connect(database).execute("SELECT rootpage FROM sqlite_schema WHERE name = 'words'").fetchone()
        file.seek((root - 1) * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    assert main(["--data", str(tmp_path), "search", "contract"]) == 1
    assert capsys.readouterr().err.startswith("appliance: the data cannot be read")


def test_half_a_character_is_no_failure(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", folder, "search", "notice \udcff", "--limit", "1"]) == 0
    assert "Notice is given" in capsys.readouterr().out


def test_about_says_what_the_image_holds(folder: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", folder, "about"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["documents"], about["chunks"], about["fingerprint"]) == (3, 7, "f" * 64)


def test_no_data_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "about"]) == 1
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "stdio"])
def test_no_data_serves_nothing(tmp_path: Path, command: str) -> None:
    options = ["--open"] if command == "serve" else []
    done = subprocess.run(
        [*program(tmp_path), command, *options], check=False, capture_output=True, text=True, env=surroundings()
    )
    assert done.returncode == 1
    assert done.stderr.startswith("appliance: the data cannot be read:")


@pytest.mark.parametrize("arguments", [[], ["search"], ["search", "x", "--limit", "0"], ["serve", "--port", "x"]])
def test_wrong_use_exits_with_2(folder: str, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--data", folder, *arguments])
    assert caught.value.code == 2
