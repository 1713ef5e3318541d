from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.paths import file_url
from infra.staging import files
from schemas.errors import Retryable


async def content() -> AsyncIterator[bytes]:
    yield b"less than a buffer holds"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' /dev/full")
async def test_a_disk_that_is_full_when_the_buffer_is_written_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing such a file fails as well; its error must not take the place of the one that is waited for."""

    def create(path: Path, root: Path) -> object:
        path.touch()
        return Path("/dev/full").open("wb")

    monkeypatch.setattr(files, "_create", create)
    async with files.open_files(file_url(tmp_path / "staging")) as staging:
        with pytest.raises(Retryable):
            await staging.write("document", content())
        assert [name async for name in staging.list("")] == []
    assert [*(tmp_path / "staging").iterdir()] == []
