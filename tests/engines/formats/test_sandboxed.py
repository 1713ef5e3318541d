"""The same corpus where parsers really run: no file, no network, little memory."""

from uuid import UUID

import pytest

from engines.extraction.parsers import InProcess
from engines.sandbox import open_sandbox
from tests.engines.formats.corpus import SAMPLES
from tests.engines.formats.written import outlook

JOB = UUID(int=1)


async def test_the_sandbox_gives_the_same() -> None:
    here = InProcess()
    async with open_sandbox(at_once=1) as apart:
        for sample in SAMPLES:
            data = sample.make()
            probed = await apart.probe(JOB, data, sample.name)
            assert probed == await here.probe(JOB, data, sample.name), sample.name
            found = await apart.extract(JOB, data, probed.media_type)
            assert found == await here.extract(JOB, data, probed.media_type), sample.name


@pytest.mark.parametrize("encoding", ["koi8-r", "shift-jis"])
async def test_encodings_are_told_there_too(encoding: str) -> None:
    text = {"koi8-r": "Просим подтвердить получение письма", "shift-jis": "ご確認をお願いいたします"}[encoding]
    async with open_sandbox(at_once=1) as apart:
        assert (await apart.extract(JOB, text.encode(encoding), "text/plain")).text == text


async def test_an_outlook_messages_attachments_come_out() -> None:
    async with open_sandbox(at_once=1) as apart:
        found = [name async for name, _ in apart.members(JOB, outlook(), "application/vnd.ms-outlook")]
    assert found == ["größen.csv", "Ältere Frage.eml"]
