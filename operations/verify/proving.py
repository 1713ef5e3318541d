"""Every place held against the ledger's roots, and two jobs against each other."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

from infra.keys import Keys
from infra.ledger import JobState, JobView, Ledger
from infra.paths import CustomerPaths
from infra.staging.sealed import SealedStaging
from operations.jobs import open_path
from operations.names import listed
from operations.verify.comparing import Comparison, Difference, compare, first_difference
from operations.verify.places import STAGES, BakedImage, Leaves, Parts, Place, Problem
from schemas.errors import CradleError, Permanent
from schemas.merkle import MerkleTree

PROVABLE: Final = frozenset({JobState.BAKED, JobState.PACKAGED, JobState.ERASED})
"""States in which the ledger's roots are those of the newest results."""


@dataclass(frozen=True, slots=True)
class VerifyPorts:
    ledger: Ledger
    keys: Keys
    staging: SealedStaging
    home: Path


@dataclass(frozen=True, slots=True)
class Proof:
    """One place held against the ledger's roots."""

    job: UUID
    fingerprint: str
    place: Place
    roots: Mapping[str, str]
    """Computed, by stage."""
    expected: Mapping[str, str]
    """The ledger's."""

    @property
    def problems(self) -> Sequence[Problem]:
        return self.place.problems

    @property
    def wrong(self) -> list[str]:
        """The stages of which the roots differ."""
        return [stage for stage in STAGES if self.roots[stage] != self.expected.get(stage)]

    @property
    def holds(self) -> bool:
        return not self.problems and not self.wrong


@dataclass(frozen=True, slots=True)
class Verified:
    job: UUID
    against: UUID | None
    proofs: Sequence[Proof]
    """Of each place that could be read, the job's first."""
    same_fingerprint: bool | None
    """Whether the other job has the same; None where there is no other."""
    difference: Difference | None
    """Where results differ that should not."""
    comparison: Comparison | None
    """With a job of another fingerprint, whose results may differ."""

    @property
    def holds(self) -> bool:
        return all(proof.holds for proof in self.proofs) and self.difference is None

    def report(self) -> dict[str, Any]:
        """As plain values for `cradle verify --json`."""
        return {
            "job": str(self.job),
            "against": None if self.against is None else str(self.against),
            "holds": self.holds,
            "same_fingerprint": self.same_fingerprint,
            "proofs": [
                {
                    "job": str(proof.job),
                    "from": proof.place.name,
                    "holds": proof.holds,
                    "roots": dict(proof.roots),
                    "expected": dict(proof.expected),
                    "problems": [problem.code for problem in proof.problems],
                }
                for proof in self.proofs
            ],
            "difference": None if self.difference is None else asdict(self.difference),
            "comparison": None if self.comparison is None else asdict(self.comparison),
        }


async def verify(job: UUID, ports: VerifyPorts, *, against: UUID | None = None) -> Verified:
    """Proves `job`, and `against` if it is given, and compares the two.

    Raises Permanent `job.unknown`, CradleError `verify.unbaked` or `verify.nothing`, Retryable `dependency.away`.
    """
    ours = await _proofs(job, ports)
    theirs = [] if against is None else await _proofs(against, ports)
    same = ours[0].fingerprint == theirs[0].fingerprint if theirs else None
    comparable = [*ours, *theirs] if same else ours
    difference = await _difference(comparable)
    comparison = await compare(ours[0].place, theirs[0].place) if same is False else None
    return Verified(job, against, [*ours, *theirs], same, difference, comparison)


# -- proofs -----------------------------------------------------------------------------------------------------------


async def _proofs(job: UUID, ports: VerifyPorts) -> list[Proof]:
    """One of each place that can be read. Raises CradleError `verify.unbaked` or `verify.nothing`."""
    view = await ports.ledger.job(job)
    if view.state not in PROVABLE or not view.merkle:
        raise CradleError("verify.unbaked", job=job, state=view.state.value)
    places = [place async for place in _places(view, ports)]
    if not places:
        raise CradleError("verify.nothing", job=job)
    return [Proof(job, view.fingerprint, place, await _roots(place), view.merkle) for place in places]


async def _places(view: JobView, ports: VerifyPorts) -> AsyncGenerator[Place, None]:
    try:
        key = await ports.keys.fetch(str(view.id))
    except Permanent:
        pass  # its parts cannot be opened any more: the image has to do
    else:
        rows = await ports.ledger.documents(view.id)
        with_path = [row for row in rows if row.sealed_path]
        found = listed(with_path, lambda row: open_path(key, row.id, row.sealed_path))
        yield Parts(view.id, found, ports.staging)
    layout = CustomerPaths(ports.home, view.customer).image(view.id, view.generation)
    if layout.exists():
        yield BakedImage(layout, view.image)


async def _roots(place: Place) -> dict[str, str]:
    trees = {stage: MerkleTree() for stage in STAGES}
    async with aclosing(cast(AsyncGenerator[Leaves, None], place.documents())) as documents:
        async for document in documents:
            for stage, tree in trees.items():
                for _, leaf in document.of(stage):
                    tree.add(leaf)
    return {stage: tree.root() for stage, tree in trees.items()}


# -- where they differ ------------------------------------------------------------------------------------------------


async def _difference(proofs: Sequence[Proof]) -> Difference | None:
    """The first difference of the first place that is wrong from one that is right, as far as any is.

    Places of one fingerprint alone: these have to agree.
    """
    for one, other in _pairs(proofs):
        unread = [_as_difference(problem) for problem in one.problems if problem.document]
        found = await first_difference(one.place, other.place) if other else None
        if found or unread:
            return found or unread[0]
    return None


def _pairs(proofs: Sequence[Proof]) -> Iterator[tuple[Proof, Proof | None]]:
    """Each place that is wrong with one to hold it against; where all are right, the first of each job."""
    right = [proof for proof in proofs if proof.holds]
    for proof in proofs:
        if not proof.holds:
            others = right or [other for other in proofs if other is not proof]
            yield proof, others[0] if others else None
    if right:
        for other in proofs:
            if other.holds and other.expected != right[0].expected:
                yield right[0], other


def _as_difference(problem: Problem) -> Difference:
    return Difference(problem.stage, problem.document, problem.ordinal, f"cannot be read ({problem.code})")
