"""The worker that is thrown hostile files: `admit`, `ocr` and `chunk` as they run in Cradle, in a process of its own.

    python -m tests.hostile.answering FOLDER     reads a request a line, writes an answer a line

So whoever throws may see it die. Parsers are the ones that Cradle runs; the engines
are fakes, since what they are given is their own tests' matter.
"""

import asyncio
import json
import os
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from consumers.admit import stage as admit
from consumers.chunk import stage as chunk
from consumers.ocr import stage as ocr
from consumers.runtime.contract import Done, Failed, Handle, Output, Piece, Ports, Received
from engines.extraction import PageImage
from engines.extraction.parsers import Parsers
from engines.library import EngineLibrary
from engines.sandbox import open_sandbox
from engines.vision import Line, PageText, VisionEngine, VisionIdentity
from infra.parameters import Customer
from infra.paths import file_url
from infra.staging.files import FileStaging
from infra.staging.sealed import SealedStaging
from schemas.ids import clean_path
from schemas.messages import ChunksMade, DocumentRecognised, DocumentReference, DocumentsSubmitted, Manifest, Message
from schemas.parameters import EmbeddingConfig, InstallationParameters, VisionConfig
from tests.entrance import Entrance

READ = "read"
EXPANDED = "expanded"
LEAKED = "leaked"
"""Text of a file that the document only names."""


class Blind:
    """An engine that reads one word off every page, whatever is on it."""

    identity = VisionIdentity(name="blind", weights="none", program="none")

    def recognise(self, pages: Sequence[PageImage]) -> list[PageText]:
        return [
            PageText((Line("seen", (0, 0, page.width, page.height), 1.0),), page.width, page.height) for page in pages
        ]


class Engines(EngineLibrary):
    async def vision(self, config: VisionConfig) -> VisionEngine:
        return Blind()


async def answer(file: Path, path: str, reference: str, folder: Path, parsers: Parsers, canary: str) -> Counter[str]:
    """What became of the document and of all that lay in it: how many of each outcome."""
    entrance = Entrance(file.parent)
    staging = FileStaging(folder)
    entrance.staging, entrance.sealed = staging, SealedStaging(staging, key=entrance.jobs.key, entropy=os.urandom)  # type: ignore[assignment]
    await entrance.store.put_customer(Customer("acme", roots=(f"{file_url(file.parent)}/",)))
    vision = VisionConfig(engine="fake", dpi=150)
    await entrance.store.add_version(
        InstallationParameters(customer_id="acme", embedding_config=EmbeddingConfig(model="fake"), vision_config=vision)
    )
    ports = replace(entrance.ports, parsers=parsers, engines=Engines())
    named = DocumentReference(path=clean_path(path), uri=file_url(file))
    event = DocumentsSubmitted(customer="acme", reference=reference, documents=(named,), manifest=Manifest(documents=1))
    found: Counter[str] = Counter()
    async for done in _outcomes(admit(ports), Received(uuid4(), event.job, event)):
        found.update(refused.error.code for refused in done.refused)
        found.update(EXPANDED for document in done.documents if document.state == EXPANDED)
        for output in done.outputs:
            found[await _read(ports, Received(uuid4(), event.job, output.message), output, canary)] += 1
    return found


async def _read(ports: Ports, received: Received[Message], output: Output, canary: str) -> str:
    """The outcome of one document from there on: `read`, or the code it failed with."""
    stages: list[Any] = [ocr, chunk] if output.topic == "ocr-ready" else [chunk]
    for stage in stages:
        try:
            made = [message async for done in _outcomes(stage(ports), received) for message in done.outputs]
        except _Refused as refused:
            return refused.code
        for message in (one.message for one in made):
            if isinstance(message, ChunksMade) and canary in message.text:
                return LEAKED
        if stage is ocr:
            (recognised,) = made
            assert isinstance(recognised.message, DocumentRecognised)
            received = Received(uuid4(), received.job, recognised.message)
    return READ


class _Refused(Exception):
    def __init__(self, code: str) -> None:
        self.code = code


async def _outcomes(handle: Handle, received: Received[Any]) -> AsyncIterator[Done | Piece]:
    async for outcome in handle([received]):
        if isinstance(outcome, Failed):
            raise _Refused(outcome.error.code)
        if isinstance(outcome, Done | Piece):
            yield outcome


async def _serve(folder: Path) -> None:
    async with open_sandbox() as parsers:
        print(json.dumps({"ready": True}), flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            staging = folder / "staging"
            shutil.rmtree(staging, ignore_errors=True)  # also of one that died
            staging.mkdir()
            try:
                found = await answer(
                    Path(asked["file"]), asked["path"], asked["reference"], staging, parsers, asked["canary"]
                )
                said: dict[str, Any] = {"found": found}
            except Exception as error:
                said = {"error": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1])))
