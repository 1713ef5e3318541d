"""What cannot be replayed from a topic, and from which it can. Pure."""

from collections.abc import Collection, Sequence

from infra.ledger import JobState, JobView
from schemas.errors import CradleError, Permanent
from schemas.parameters import FIRST_TOUCHED
from schemas.topology import Topology

FINISHED = frozenset({JobState.BAKED, JobState.PACKAGED, JobState.FAILED})


def check_state(job: JobView) -> None:
    """Raises Permanent `job.erased` or `job.cancelled`, CradleError `replay.unfinished`."""
    if job.erased_at is not None and job.state is not JobState.CANCELLED:
        raise Permanent("job.erased", when=job.erased_at)
    if job.state is JobState.CANCELLED:
        raise Permanent("job.cancelled")
    if job.state not in FINISHED:
        raise CradleError("replay.unfinished", job=job.id, state=f"still {job.state.value}")
    if job.completed_at is None or job.open_work:  # a replay that could not be carried out, for one
        raise CradleError("replay.unfinished", job=job.id, state=f"{job.state.value}, and was never complete")


def check_stages(stages: Collection[str], topic: str, topology: Topology) -> None:
    """`stages` make something else now than they did. Raises CradleError `replay.stages` unless all are to come."""
    if not topology.following(topic).issuperset(stages):
        told = [stage for stage in topology.stages if stage in stages]
        works = topology.latest_before(stages)
        raise CradleError("replay.stages", stages=", ".join(told), topic=topic, works=works)


def check_fields(fields: Collection[str], topic: str, topology: Topology) -> None:
    """`fields` of the parameters differ. Raises CradleError `replay.parameters` unless all still take effect."""
    touched = {FIRST_TOUCHED[field] for field in fields}
    if not topology.following(topic).issuperset(touched):
        works = topology.latest_before(touched)
        raise CradleError("replay.parameters", fields=", ".join(sorted(fields)), topic=topic, works=works)


def check_update(job: JobView, fields: Collection[str], stages: Collection[str], topology: Topology) -> None:
    """What an update lies over was made as the job was. Raises CradleError `update.parameters` or `update.stages` where
    the replay would make something else."""
    if job.extends is None:
        return
    if fields:
        raise CradleError("update.parameters", version=job.extends)
    if of_documents := set(stages) - topology.of_whole_jobs:
        told = ", ".join(stage for stage in topology.stages if stage in of_documents)
        raise CradleError("update.stages", version=job.extends, stages=told)


def check_mixture(inherited: Sequence[Collection[str] | None], changed: Collection[str], topology: Topology) -> None:
    """`inherited`: of each document the stages that worked on it; None where an earlier replay inherited it, too.

    What was made of a document stays with it when it is inherited. Raises CradleError `replay.mixed` where the new
    job's stages would have made something else: its fingerprint would promise what its image does not hold.
    """
    of_documents = set(changed) - topology.of_whole_jobs
    of_all = topology.of_submissions & of_documents
    mixed = [stages for stages in inherited if stages is None or of_all or not of_documents.isdisjoint(stages)]
    if mixed and of_documents:
        everything = set(topology.stages) if None in mixed else changed
        raise CradleError("replay.mixed", documents=len(mixed), works=topology.latest_before(everything))
