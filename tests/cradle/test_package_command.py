"""What `cradle package` says at its end: what to send, and what to tell the customer."""

from pathlib import Path
from typing import Any

import pytest

from cradle.commands import package as command
from infra.archive.memory import MemoryArchive
from operations.package import Kind, Packaged, load_signer, write_folder
from operations.versions import remember
from schemas.parameters import InstallationParameters
from schemas.versions import VersionRecord
from tests.remembered import make_record


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command.out, "width", 200)


async def make(folder: Path, *, encrypted: bool = True, again: bool = False, **other: Any) -> Packaged:
    tar = folder / "tar"
    tar.write_bytes(bytes(2_500_000))
    record: VersionRecord = await remember(MemoryArchive(), make_record(**other), tar if encrypted else None)
    kind: Kind = "first" if record.version == "v1.0-init" else "update"
    written = write_folder(
        folder / "package",
        record=record,
        tar=tar,
        parameters=InstallationParameters(customer_id="acme"),
        kind=kind,
        credentials=kind == "first",
        signer=load_signer(folder / "key.pem"),
    )
    return Packaged(record, written, again, None)


async def said(packaged: Packaged, capsys: pytest.CaptureFixture[str]) -> str:
    command._tell(packaged)
    return capsys.readouterr().out


async def test_it_says_what_to_send_and_what_to_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packaged = await make(tmp_path)
    text = await said(packaged, capsys)
    assert str(tmp_path / "package") in text
    for name in packaged.folder.files:
        assert name in text
    assert packaged.folder.fingerprint in text
    assert "opens with the age key" in text
    assert f"cradle letter ready {packaged.record.job}" in text
    assert (tmp_path / "package" / "credentials" / "token").read_text().strip() not in text


async def test_without_a_recipient_it_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = await said(await make(tmp_path, encrypted=False), capsys)
    assert "has no recipient" in text
    assert "nothing was" in " ".join(text.split())
    assert "age key" not in text


async def test_of_a_later_version_it_says_what_the_customer_has_to_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = ["sha256:" + "1" * 64, "sha256:" + "2" * 64]
    manifest = {"config": {"digest": "sha256:" + "3" * 64}, "layers": [{"digest": one, "size": 9} for one in layers]}
    packaged = await make(
        tmp_path,
        version="v1.1-update",
        extends="v1.0-init",
        manifest=manifest,
        config={"rootfs": {"diff_ids": layers}},
    )
    text = await said(packaged, capsys)
    assert "v1.0-init has to be in its Docker" in text
    assert f"cradle letter updated {packaged.record.job}" in text
    assert "password" not in text


async def test_of_a_folder_that_was_gone_it_says_that_the_token_is_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command._tell(await make(tmp_path, again=True))
    assert "token is a new one" in capsys.readouterr().err


async def test_of_an_image_without_a_base_it_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    based = {"org.opencontainers.image.base.digest": "sha256:" + "9" * 64}
    layers = [{"digest": "sha256:" + "1" * 64, "size": 9}]
    assert "does not run by itself" in await said(await make(tmp_path), capsys)
    runs = await make(tmp_path, manifest={"layers": layers, "annotations": based})
    assert "does not run by itself" not in await said(runs, capsys)
