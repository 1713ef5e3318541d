"""The same bytes under several names at the entrance: in one event, in several, in archives, redelivered, redriven."""

import zipfile
from io import BytesIO
from pathlib import Path
from uuid import UUID, uuid4

from consumers.admit import stage
from consumers.admit.core import PIECE
from consumers.runtime.contract import Done, Piece, Received
from infra.ledger import DocumentState, NewDocument, Outcome
from operations.jobs import open_path
from schemas.ids import job_id
from schemas.messages import DocumentAdmitted, DocumentReference, DocumentsSubmitted
from tests.entrance import NOW, Entrance

JOB = job_id("acme", "r")


def event(entrance: Entrance, **files: bytes | str) -> Received[DocumentsSubmitted]:
    references = [DocumentReference(path=path, uri=entrance.write(path, content)) for path, content in files.items()]
    message = DocumentsSubmitted(customer="acme", reference="r", documents=tuple(references))
    return Received(uuid4(), JOB, message)


def zipped(**members: bytes | str) -> bytes:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


async def admit(entrance: Entrance, *events: Received[DocumentsSubmitted]) -> list[Done | Piece]:
    outcomes = [outcome async for outcome in stage(entrance.ports)(events)]
    assert all(isinstance(outcome, Done | Piece) for outcome in outcomes), outcomes
    return outcomes  # type: ignore[return-value]


def let_in(outcomes: list[Done | Piece]) -> list[str]:
    messages = [output.message for outcome in outcomes for output in outcome.outputs]
    return [message.document.path for message in messages if isinstance(message, DocumentAdmitted)]


async def duplicates(entrance: Entrance, outcomes: list[Done | Piece]) -> dict[str, str]:
    """By path: the path of the original."""
    key = await entrance.jobs.key(JOB)
    met = [one for outcome in outcomes for one in outcome.documents]
    paths = {one.id: open_path(key, one.id, one.sealed_path) for one in met}
    return {paths[one.id]: paths.get(one.same_as, "elsewhere") for one in met if one.same_as is not None}


async def work_open(entrance: Entrance) -> tuple[int, int]:
    view = await entrance.ledger.job(JOB)
    return view.open_work, view.duplicates


async def test_in_one_event(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    found = await admit(
        entrance, event(entrance, **{"a.txt": "text", "b.txt": "other", "c.txt": "text", "d.txt": "text"})
    )
    assert let_in(found) == ["a.txt", "b.txt"]
    assert await duplicates(entrance, found) == {"c.txt": "a.txt", "d.txt": "a.txt"}
    await entrance.record(found[0], JOB)
    assert await work_open(entrance) == (2, 2)


async def test_in_several_events_of_one_poll_and_of_later_ones(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    first, second = await admit(entrance, event(entrance, **{"a.txt": "text"}), event(entrance, **{"b.txt": "text"}))
    assert let_in([first, second]) == ["a.txt"], "the ledger knows of none of them yet"
    assert await duplicates(entrance, [first, second]) == {"b.txt": "a.txt"}
    for outcome in (first, second):
        await entrance.record(outcome, JOB)
    later = await admit(entrance, event(entrance, **{"c.txt": "text"}))
    assert let_in(later) == []
    assert later[0].documents[0].same_as == first.documents[0].id


async def test_in_several_pieces(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    files = {f"{number:02d}.txt": f"text {number % PIECE}" for number in range(3 * PIECE)}
    found = await admit(entrance, event(entrance, **files))
    assert len(found) == 3
    assert let_in(found) == list(files)[:PIECE]
    assert len(await duplicates(entrance, found)) == 2 * PIECE


async def test_as_members_of_archives(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    packed = zipped(**{"x.txt": "text", "y.txt": "more"})
    found = await admit(entrance, event(entrance, **{"a.zip": packed, "b.zip": packed, "y.txt": "more"}))
    assert let_in(found) == ["a.zip!/x.txt", "a.zip!/y.txt"]
    assert await duplicates(entrance, found) == {
        "b.zip!/x.txt": "a.zip!/x.txt",
        "b.zip!/y.txt": "a.zip!/y.txt",
        "y.txt": "a.zip!/y.txt",
    }
    await entrance.record(found[0], JOB)
    assert await work_open(entrance) == (2, 3)


async def test_read_as_another_type_it_is_another_document(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    found = await admit(entrance, event(entrance, **{"a.txt": "# Title\n\ntext", "a.md": "# Title\n\ntext"}))
    assert let_in(found) == ["a.txt", "a.md"]


async def test_redelivered_the_answer_is_the_same(tmp_path: Path) -> None:
    """Before its outcome was recorded, and after: what was let in is not a duplicate of itself."""
    entrance = await Entrance(tmp_path).with_customer()
    received = event(entrance, **{"a.txt": "text", "b.txt": "text"})
    first, again = await admit(entrance, received), await admit(entrance, received)
    assert let_in(first) == let_in(again) == ["a.txt"]
    await entrance.record(first[0], JOB)
    after = await admit(entrance, received)
    assert let_in(after) == ["a.txt"]
    assert after[0].outputs[0].identity == first[0].outputs[0].identity
    await entrance.record(again[0], JOB)
    assert await work_open(entrance) == (1, 1)


async def test_what_was_let_in_twice_stays_so(tmp_path: Path) -> None:
    """Two workers met the same bytes at one time; submitted again, neither is taken for a duplicate of the other."""
    entrance = await Entrance(tmp_path).with_customer()
    one, other = event(entrance, **{"a.txt": "text"}), event(entrance, **{"b.txt": "text"})
    racing = [*await admit(entrance, one), *await admit(entrance, other)]
    assert let_in(racing) == ["a.txt", "b.txt"]
    for outcome in racing:
        await entrance.record(outcome, JOB)
    again = [*await admit(entrance, one), *await admit(entrance, other)]
    assert let_in(again) == ["a.txt", "b.txt"]
    third = await admit(entrance, event(entrance, **{"c.txt": "text"}))
    assert third[0].documents[0].same_as == min(outcome.documents[0].id for outcome in racing)


async def test_after_a_failure_the_next_one_is_worked_on_itself(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    [first] = await admit(entrance, event(entrance, **{"a.txt": "text", "b.txt": "text"}))
    [unit] = await entrance.record(first, JOB)
    failed = Outcome(unit.message, JOB, unit.document, code="document.broken")
    await entrance.ledger.record("chunk", [failed], now=NOW)
    assert await entrance.paths(JOB) == {"a.txt": "document.broken", "b.txt": "document.broken"}
    later = await admit(entrance, event(entrance, **{"c.txt": "text", "d.txt": "text"}))
    assert let_in(later) == ["c.txt"]
    assert await duplicates(entrance, later) == {"d.txt": "c.txt"}


async def test_a_refused_document_has_no_duplicates(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    [found] = await admit(entrance, event(entrance, **{"a.bin": b"\0\1\2", "b.bin": b"\0\1\2"}))
    assert len(found.refused) == 2
    assert {one.state for one in found.documents} == {DocumentState.FAILED}


async def test_another_job_knows_nothing_of_it(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    [found] = await admit(entrance, event(entrance, **{"a.txt": "text"}))
    await entrance.record(found, JOB)
    received = event(entrance, **{"b.txt": "text"})
    message = received.message.model_copy(update={"reference": "another"})
    other = await admit(entrance, Received(uuid4(), message.job, message))
    assert let_in(other) == ["b.txt"]
    assert _contents(found.documents).isdisjoint(_contents(other[0].documents)), "each job has names of its own"


def _contents(documents: tuple[NewDocument, ...]) -> set[str | None]:
    return {one.content for one in documents}


async def test_it_takes_no_place_in_the_window(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer(window=2)
    files = {f"{number:02d}.txt": "text" for number in range(2 * PIECE)}
    found = await admit(entrance, event(entrance, **files))
    assert len(found) == 2, "nothing is held"
    assert sum(len(outcome.documents) for outcome in found) == 2 * PIECE
    assert UUID(found[0].documents[0].id) == found[0].outputs[0].identity
