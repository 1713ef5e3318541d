"""An update of 1 % beside the full image: the size of what is sent, and the time of its bake.

    python -m benchmarks.update

2,000 documents make the full image; 20 of them come changed and 5 are removed. The stage, the builders and sealed
parts in a file store are real, in a child process bound to two cores; both bakes are in one run.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from appliance.format import VERSION
from benchmarks.bake import DIMENSION, KEY, documents, fixed_key
from builders.oci.archive import save
from builders.oci.read import open_image
from builders.parts import KIND, encode_part, part_name
from consumers.bake import stage
from consumers.runtime.contract import Done, Ports, Received
from engines.extraction.parsers import InProcess
from infra.archive.memory import MemoryArchive
from infra.ledger import DocumentRow, DocumentState
from infra.parameters import Customer
from infra.paths import CustomerPaths
from infra.staging import open_staging
from infra.staging.sealed import SealedStaging
from operations.jobs import seal_path
from operations.versions import remember
from schemas.ids import document_id, removal_id
from schemas.messages import EmbeddingsMade, JobCompleted
from schemas.parameters import InstallationParameters
from schemas.versions import VersionRecord

if TYPE_CHECKING:
    from benchmarks.table import Row

DOCUMENTS: Final = 2_000
CHUNKS_A_DOCUMENT: Final = 16
CHANGED: Final = DOCUMENTS // 100
REMOVED: Final = 5
ROUNDS: Final = 3
"""Of each bake; the median counts."""
MOST: Final = 0.05
"""Bar of both ratios: five times the share that changed, for what a layer costs whatever it holds."""
CUSTOMER: Final = "acme"
FULL, UPDATE = UUID(int=1), UUID(int=2)


@dataclass(frozen=True)
class Baked:
    seconds: float
    """From the announcement to the image in its place, and the tar of it written."""
    tar_bytes: int


def run() -> "list[Row]":
    from benchmarks.table import Row  # the child process needs no table

    full, update = measure()
    name = f"update: {CHANGED} of {DOCUMENTS:,} documents changed, {DIMENSION}-d, on 2 cores"
    return [
        Row(
            name=f"{name}, size of the tar",
            measured=f"{update.tar_bytes / 1024**2:.2f} MiB",
            baseline=f"{full.tar_bytes / 1024**2:.1f} MiB, the full image's",
            ratio=update.tar_bytes / full.tar_bytes,
            bar=f"at most {MOST}",
            passed=update.tar_bytes <= MOST * full.tar_bytes,
        ),
        Row(
            name=f"{name}, time of bake and tar",
            measured=f"{update.seconds:.2f} s",
            baseline=f"{full.seconds:.1f} s, the full image's",
            ratio=update.seconds / full.seconds,
            bar=f"at most {MOST}",
            passed=update.seconds <= MOST * full.seconds,
        ),
    ]


def measure() -> tuple[Baked, Baked]:
    """The full image and the update."""
    with tempfile.TemporaryDirectory() as home:
        child = [sys.executable, "-m", "benchmarks.update", "--child", home]
        printed = subprocess.run(child, check=True, capture_output=True, text=True).stdout
        full, update = (Baked(**one) for one in json.loads(printed))
        return full, update


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps([asdict(one) for one in asyncio.run(_bake_both(options.child))]))
        return 0
    for row in run():
        print(f"{row.name}: {row.measured}, {row.baseline}: {row.ratio:.3f}, {row.bar}")
    return 0


# -- the child --------------------------------------------------------------------------------------------------------


async def _bake_both(home: Path) -> list[Baked]:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    made = list(documents(DOCUMENTS * CHUNKS_A_DOCUMENT, each=CHUNKS_A_DOCUMENT))
    async with open_staging(f"file://{home}/staging") as staging:
        sealed = SealedStaging(staging, key=fixed_key, entropy=os.urandom)
        installation = _Installation(home)
        await installation.stage(FULL, sealed, made)
        await installation.stage(UPDATE, sealed, [_changed(parts) for parts in made[:: DOCUMENTS // CHANGED]])
        installation.remove([parts[0].chunks.document.path for parts in made[1 : REMOVED + 1]])
        full = await _bake(FULL, installation, sealed)
        await installation.remember()
        return [full, await _bake(UPDATE, installation, sealed)]


def _changed(parts: Sequence[EmbeddingsMade]) -> list[EmbeddingsMade]:
    """The document with other content under its path, as far as its hash says."""
    old = parts[0].chunks.document
    sha256 = old.sha256[::-1]
    new = old.model_copy(update={"id": document_id(KEY, old.path, sha256), "sha256": sha256})
    return [part.model_copy(update={"chunks": part.chunks.model_copy(update={"document": new})}) for part in parts]


async def _bake(job: UUID, installation: "_Installation", sealed: SealedStaging) -> Baked:
    handle = stage(installation.ports(sealed))
    seconds = []
    for generation in range(1, ROUNDS + 1):
        begun = time.perf_counter()
        received = Received(job, job, JobCompleted(customer=CUSTOMER, generation=generation))
        [outcome] = [one async for one in handle([received])]
        if not isinstance(outcome, Done):
            raise RuntimeError("the job was not baked")
        layout = CustomerPaths(installation.home, CUSTOMER).image(job, generation)
        tar = installation.home / "image.tar"
        tar.unlink(missing_ok=True)
        save(open_image(layout), tar, name="cradle/acme:v1.0")
        seconds.append(time.perf_counter() - begun)
    return Baked(statistics.median(seconds), tar.stat().st_size)


class _Installation:
    """The ledger, parameters and archive, as far as `bake` asks for them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._rows: dict[UUID, list[DocumentRow]] = {FULL: [], UPDATE: []}
        self._archive = MemoryArchive()

    def ports(self, staging: SealedStaging) -> Ports:
        answers: Any = self
        return Ports(
            staging=staging,
            jobs=answers,
            ledger=answers,
            parameters=answers,
            archive=self._archive,
            engines=answers,
            parsers=InProcess(),
            source=answers,
            home=self.home,
            base_image="",
            clock=lambda: datetime.now(UTC),
            entropy=os.urandom,
        )

    async def stage(self, job: UUID, sealed: SealedStaging, made: Sequence[Sequence[EmbeddingsMade]]) -> None:
        for parts in made:
            document = parts[0].chunks.document
            self._rows[job].append(_row(document.id, document.path, DocumentState.DONE))
            for part in parts:
                await sealed.put(job, KIND, part_name(part), encode_part(part))

    def remove(self, paths: Sequence[str]) -> None:
        self._rows[UPDATE] += [_row(removal_id(KEY, path), path, DocumentState.EXPANDED) for path in paths]

    async def remember(self) -> None:
        """What packaging keeps of the full image."""
        image = open_image(CustomerPaths(self.home, CUSTOMER).image(FULL, 1))
        record = VersionRecord(
            customer=CUSTOMER,
            version="v1.0-init",
            extends=None,
            job=FULL,
            generation=1,
            parameters=1,
            parameters_sha256="0" * 64,
            fingerprint="f" * 64,
            format=VERSION,
            digest=image.digest,
            manifest=image.manifest,
            config=image.config,
            new_layers=tuple(layer["digest"] for layer in image.layers),
            documents=DOCUMENTS,
            chunks=DOCUMENTS * CHUNKS_A_DOCUMENT,
            merkle={},
            packaged_at=datetime.now(UTC),
            archived=None,
        )
        await remember(self._archive, record, None)

    async def key(self, _: UUID) -> bytes:
        return KEY

    async def fingerprint(self, _: UUID) -> str:
        return "f" * 64

    async def parameters(self, _: UUID) -> InstallationParameters:
        return InstallationParameters(customer_id=CUSTOMER)

    async def job(self, job: UUID) -> Any:
        return SimpleNamespace(customer=CUSTOMER, extends="v1.0-init" if job == UPDATE else None)

    async def customer(self, customer: str) -> Customer:
        return Customer(customer)

    async def documents(self, job: UUID) -> list[DocumentRow]:
        return sorted(self._rows[job], key=lambda row: row.id)

    async def baked(self, *_: object) -> None:
        pass


def _row(identity: str, path: str, state: DocumentState) -> DocumentRow:
    return DocumentRow(identity, state, seal_path(KEY, identity, path, nonce=os.urandom(12)), None, None)


if __name__ == "__main__":
    sys.exit(main())
