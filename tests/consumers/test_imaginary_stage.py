"""A new stage is one entry in topics.yaml and one folder under consumers/: nothing else names it."""

import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

import consumers
from consumers.app import stage_factory
from consumers.runtime import Done, Outcome, Output, Received
from consumers.runtime.announcing import announce_completed
from cradle.flow import read_flow
from infra.ledger import JobState
from schemas.errors import CradleError
from schemas.ids import job_id
from schemas.messages import (
    ChunksMade,
    DocumentReference,
    DocumentsSubmitted,
    EmbeddingsMade,
    Manifest,
    Message,
    Vectors,
)
from tests.conftest import ROOT
from tests.consumers.flow import Flow, admit, open_flow, sink, split_into

ENTRY = "  imagine: {reads: [chunked], writes: [], version: 3}\n"
STAGE = '''
"""Counts the letters of what it reads."""

from collections.abc import AsyncIterator, Sequence

from consumers.runtime.contract import Done, Handle, Outcome, Ports, Received
from schemas.messages import ChunksMade, Message


def stage(ports: Ports) -> Handle:
    async def handle(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
        for received in inputs:
            assert isinstance(received.message, ChunksMade)
            yield Done(received, items=len(received.message.text))

    return handle
'''
DOCUMENTS = ("a.txt", "long name.txt")
CHUNKS = 3


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """topics.yaml with one more entry."""
    text = (ROOT / "topics.yaml").read_text().rstrip() + "\n" + ENTRY
    monkeypatch.setattr("cradle.flow._text", lambda: text)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder `imagine`, where the stages lie as far as Python knows."""
    made = tmp_path / "imagine"
    made.mkdir()
    (made / "__init__.py").write_text(STAGE)
    monkeypatch.setattr(consumers, "__path__", [*consumers.__path__, str(tmp_path)])
    yield made
    sys.modules.pop("consumers.imagine", None)
    vars(consumers).pop("imagine", None)


@pytest.mark.usefixtures("entry")
def test_an_entry_without_its_folder_is_refused() -> None:
    with pytest.raises(CradleError) as error:
        read_flow()
    assert error.value.code == "topology.no-folder"
    with pytest.raises(CradleError) as error:
        stage_factory("imagine")
    assert error.value.code == "topology.no-folder"


@pytest.mark.usefixtures("entry", "folder")
async def test_messages_pass_through_it_and_the_job_waits_for_it() -> None:
    topology = read_flow()
    assert topology.versions()["imagine"] == 3
    assert topology.readers["chunked"] == ("embed", "imagine")
    async with AsyncExitStack() as stack:
        opened = await open_flow(stack)
        runtime = replace(opened.runtime, topology=topology)
        imagine = stage_factory("imagine")(runtime.ports)
        others = {"admit": admit, "chunk": split_into(CHUNKS), "embed": embed, "pack": sink, "bake": sink}
        flow = Flow(runtime, opened.log, {**others, "imagine": imagine}, job=job_id("acme", "r"))
        await flow.open_job()
        await flow.publish(submission(), "ingest")
        for stage in ("admit", "chunk", "embed", "pack"):
            await flow.poll(stage)
        waiting = await flow.view()
        assert (waiting.state, waiting.open_work) == (JobState.PROCESSING, len(DOCUMENTS) * CHUNKS)
        await flow.poll("imagine")
        await announce_completed(runtime)
        await flow.poll("bake")
        complete = await flow.view()
    assert (complete.state, complete.open_work) == (JobState.COMPLETE, 0)
    assert complete.outcomes["imagine"] == len(DOCUMENTS) * CHUNKS
    assert complete.items["imagine"] == sum(len(f"{name} 0") for name in DOCUMENTS) * CHUNKS
    assert complete.outcomes["bake"] == 1
    assert flow.log.of("chunked.dlq") == []


def submission() -> DocumentsSubmitted:
    references = tuple(DocumentReference(path=path, uri=f"file:///{path}") for path in DOCUMENTS)
    return DocumentsSubmitted(
        customer="acme", reference="r", documents=references, manifest=Manifest(documents=len(DOCUMENTS))
    )


async def embed(inputs: Sequence[Received[Message]]) -> AsyncIterator[Outcome]:
    for one in inputs:
        chunks = cast(ChunksMade, one.message)
        made = EmbeddingsMade(chunks=chunks, vectors=Vectors(shape=(1, 1), data=bytes(4)))
        yield Done(one, (Output(made, document=chunks.document.id),), items=1)


@pytest.mark.parametrize(
    ("file", "line", "kept"),
    [
        ("imagine/__init__.py", "from consumers.runtime.contract import Ports", True),
        ("imagine/__init__.py", "from consumers.chunk.core import split", False),
        ("imagine/__init__.py", "import consumers.app", False),
        ("pack/__init__.py", "import consumers.imagine", False),
        ("runtime/worker.py", "import consumers.imagine", False),
        ("app.py", "import consumers.imagine", True),
    ],
)
def test_it_is_kept_apart_from_the_other_stages_without_being_named(
    tmp_path: Path, file: str, line: str, kept: bool
) -> None:
    for package in ("consumers", "schemas", "appliance", "engines", "infra", "builders", "operations"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    for package in ("cradle", "services", "producers"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "consumers" / "imagine").mkdir()
    (tmp_path / "consumers" / "imagine" / "__init__.py").write_text(STAGE)
    changed = tmp_path / "consumers" / file
    changed.write_text(f"{changed.read_text()}\n{line}\n")
    checked = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode == 0) is kept, checked.stdout
    assert kept or "is not allowed to import" in checked.stdout
