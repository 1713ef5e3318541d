"""`cradle versions` and `cradle archive verify` over an archive in a folder; the doctor over one on S3."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cradle.checks import dependencies
from cradle.commands import app
from cradle.compose import open_adapters
from cradle.settings import Settings
from infra.archive import open_archive
from infra.paths import file_url
from operations.doctor import Finding, examine
from operations.versions import remember
from schemas.versions import VersionRecord
from tests.remembered import ciphertext, make_record


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Only an archive: nothing else of the installation is up."""
    monkeypatch.setenv("CRADLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "home"


def cradle(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def shown(*words: str, exit_code: int = 0) -> Any:
    result = cradle(*words, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout)


def archived(home: Path, *records: VersionRecord, content: bytes | None = b"sealed") -> None:
    """Adds the versions, each with that ciphertext."""

    async def add() -> None:
        async with open_archive(file_url(home)) as archive:
            for record in records:
                await remember(archive, record, ciphertext(home, content) if content else None)

    asyncio.run(add())


def test_versions_are_listed(home: Path) -> None:
    archived(home, make_record(), content=b"s" * 2_500_000)
    archived(home, make_record("v1.1-update", extends="v1.0-init", documents=2, chunks=4), content=None)
    rows = [line.split() for line in cradle("versions", "acme").stdout.splitlines()]
    assert rows[0] == ["version", "packaged", "image", "documents", "chunks", "size", "parameters", "archived"]
    assert rows[1] == ["v1.0-init", "2026-01-02", "03:04:05", "0" * 12, "3", "7", "2.5", "MB", "1", "yes"]
    assert rows[2] == ["v1.1-update", "2026-01-02", "03:04:05", "0" * 12, "+2", "+4", "1", "kB", "1", "no"]
    first, second = shown("versions", "acme")
    assert (first["version"], first["size"], first["archived"]) == ("v1.0-init", 2_500_000, True)
    assert (second["version"], second["extends"], second["archived"]) == ("v1.1-update", "v1.0-init", False)


@pytest.mark.parametrize(("updates", "offered"), [(9, False), (10, True), (11, True)])
def test_after_ten_updates_a_full_job_is_offered(home: Path, updates: int, offered: bool) -> None:
    archived(home, make_record(), *(make_record(f"v1.{minor}-update") for minor in range(1, updates + 1)), content=None)
    result = cradle("versions", "acme")
    assert result.exit_code == 0
    assert ("A full job is due" in result.stderr) == offered


def test_a_whole_archive_is_told_and_a_damaged_one_fails(home: Path) -> None:
    archived(home, make_record(), make_record("v2.0-full"))
    assert "✓ The archive is whole: 2 copies of 2 versions" in cradle("archive", "verify").stdout
    report = shown("archive", "verify", "acme")
    assert (report["whole"], report["problems"], report["compared_with_ledger"]) == (True, [], False)
    folder = home / "versions" / "acme"
    folder.chmod(0o700)
    (folder / "v1.0-init.json").unlink()
    (folder / "v2.0-full.oci.age").chmod(0o600)
    (folder / "v2.0-full.oci.age").write_bytes(b"sealeD")
    (folder / "notes.txt").write_text("who was here")
    report = shown("archive", "verify", exit_code=1)
    assert [(one["name"].rpartition("/")[2], one["what"]) for one in report["problems"]] == [
        ("notes.txt", "stray"),
        ("v1.0-init.json", "missing"),
        ("v2.0-full.oci.age", "damaged"),
    ]
    assert [name.rpartition("/")[2] for name in report["left_over"]] == ["v1.0-init.oci.age"]
    told = cradle("archive", "verify").stdout
    assert "✗ versions/acme/v2.0-full.oci.age is not what was archived." in told
    assert shown("archive", "verify", "other")["versions"] == 0


async def test_the_doctor_finds_a_folder_in_order(home: Path) -> None:
    home.mkdir()
    found = await diagnosed(Settings(home=home))
    assert (found.ok, found.version) == (True, "read-only files")


@pytest.mark.s3
async def test_the_doctor_complains_of_a_bucket_that_does_not_lock(home: Path, s3_url: str) -> None:
    home.mkdir()
    found = await diagnosed(Settings(home=home, archive_url=s3_url))
    assert (found.ok, found.code) == (False, "archive.unlocked")
    assert "lock_days" in found.remedy


async def diagnosed(settings: Settings) -> Finding:
    async with open_adapters(settings) as adapters:
        [archive] = [one for one in dependencies(adapters) if one.name == "archive"]
        [found] = await examine([archive])
        return found
