"""Step 3a: from a stage's outcome to the records to publish and the row to record."""

from dataclasses import dataclass, replace
from uuid import UUID

from consumers.runtime import dead_letters
from consumers.runtime.contract import Done, Failed, Output, Piece, piece_id
from consumers.runtime.opening import Opened
from consumers.runtime.runtime import Runtime
from infra import ledger
from infra.broker import OutgoingRecord
from schemas import envelope, ids
from schemas.errors import Permanent
from schemas.messages import Message
from schemas.sealing import NONCE_BYTES
from schemas.topology import Key


@dataclass(frozen=True, slots=True)
class Settled:
    """What one outcome comes to: `records` are published before `outcome` is recorded."""

    source: Opened
    records: list[OutgoingRecord]
    outcome: ledger.Outcome
    dead_letters: tuple[str, ...] = ()
    """Their codes."""
    whole: bool = True
    """False for a piece: its input is not finished with it."""


async def settle(stage: str, outcome: Done | Piece | Failed, source: Opened, attempt: int, runtime: Runtime) -> Settled:
    """Seals the outputs and dead letters of an outcome. An output that cannot travel fails its input.

    Raises Permanent `key.destroyed`: the job was erased meanwhile, and nothing of it may be written any more.
    """
    if isinstance(outcome, Piece):
        return await _settle_piece(stage, outcome, source, attempt, runtime)
    if isinstance(outcome, Done):
        try:
            return await _settle_done(stage, outcome, source, attempt, runtime)
        except Permanent as error:
            outcome = Failed(outcome.input, error)
    return await _settle_failed(stage, outcome, source, attempt, runtime)


def seal_message(message: Message, *, topic: str, key: bytes, to: envelope.Address, runtime: Runtime) -> OutgoingRecord:
    """One sealed record, keyed as topics.yaml says. Raises Permanent `message.too-large`."""
    target = runtime.topology.topics[topic]
    headers, value = envelope.close(
        message, to, key=key, nonce=runtime.ports.entropy(NONCE_BYTES), limit=target.max_bytes
    )
    record_key = to.document if target.key is Key.DOCUMENT and to.document else str(to.job)
    return OutgoingRecord(topic, record_key.encode(), value, headers)


async def _settle_piece(stage: str, outcome: Piece, source: Opened, attempt: int, runtime: Runtime) -> Settled:
    """As a message of its own: its outputs and dead letters derive their ids from the piece's."""
    received = replace(source.received, id=piece_id(stage, source.received, outcome.number))
    done = Done(
        received, outcome.outputs, outcome.refused, outcome.documents, items=outcome.items, counts=outcome.counts
    )
    settled = await settle(stage, done, replace(source, received=received), attempt, runtime)
    return replace(settled, source=source, whole=False)


async def _settle_done(stage: str, outcome: Done, source: Opened, attempt: int, runtime: Runtime) -> Settled:
    received = source.received
    key = await runtime.ports.jobs.key(received.job)
    records: list[OutgoingRecord] = []
    opens: list[ledger.Unit] = []
    for ordinal, output in enumerate(outcome.outputs):
        topic = output.topic or runtime.topology.topic_of(output.message.TYPE, stage)
        to = envelope.Address(
            id=_output_id(stage, source, output, ordinal),
            type=output.message.TYPE,
            source=f"/cradle/{stage}",
            job=received.job,
            time=runtime.ports.clock(),
            key_id=str(received.job),
            document=output.document,
            traceparent=source.traceparent,
        )
        records.append(seal_message(output.message, topic=topic, key=key, to=to, runtime=runtime))
        opens += [ledger.Unit(to.id, reader, output.document) for reader in runtime.topology.readers[topic]]
    for number, piece in enumerate(outcome.refused, start=1):
        letter = dead_letters.Letter(piece.message, piece.error, number, attempt, piece.document)
        records.append(await dead_letters.seal_letter(stage, source, letter, runtime))
    row = ledger.Outcome(
        message=received.id,
        job=received.job,
        document=received.document,
        opens=tuple(opens),
        documents=outcome.documents,
        manifest=outcome.manifest,
        items=outcome.items,
        counts=outcome.counts,
    )
    return Settled(source, records, row, tuple(piece.error.code for piece in outcome.refused))


async def _settle_failed(stage: str, outcome: Failed, source: Opened, attempt: int, runtime: Runtime) -> Settled:
    received = source.received
    letter = dead_letters.Letter(received.message, outcome.error, 0, attempt)
    row = ledger.Outcome(
        message=received.id,
        job=received.job,
        document=received.document,
        code=outcome.error.code,
    )
    return Settled(source, [await dead_letters.seal_letter(stage, source, letter, runtime)], row, (outcome.error.code,))


def _output_id(stage: str, source: Opened, output: Output, ordinal: int) -> UUID:
    job = source.received.job
    if output.identity is not None:
        return ids.message_id(job, stage, output.identity, 0)
    return ids.message_id(job, stage, source.received.id, ordinal)
