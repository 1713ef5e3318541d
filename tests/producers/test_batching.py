from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from producers.batching import MAX_BYTES, MAX_DOCUMENTS, MAX_REMOVED, Batches, batch_id, batches_of_paths
from schemas.messages import DocumentReference, DocumentsSubmitted, Manifest

JOB, OTHER = UUID(int=1), UUID(int=2)


def reference(path: str) -> DocumentReference:
    return DocumentReference(path=path, uri=f"staged:jobs/{JOB}/raw/{'0' * 32}", sha256="0" * 64, size=1)


def batches_of(references: list[DocumentReference]) -> list[tuple[DocumentReference, ...]]:
    batches = Batches()
    return [batch for batch in [*(batches.add(one) for one in references), batches.rest()] if batch]


@given(st.lists(st.integers(1, 4000), max_size=300))
def test_batches_hold_everything_in_order_within_both_bounds(lengths: list[int]) -> None:
    references = [reference(f"{number}/" + "x" * length) for number, length in enumerate(lengths)]
    batches = batches_of(references)
    assert [one for batch in batches for one in batch] == references
    assert all(len(batch) <= MAX_DOCUMENTS for batch in batches)
    assert all(sum(len(one.model_dump_json()) for one in batch) <= MAX_BYTES for batch in batches)


def test_a_batch_ends_at_the_64th_document() -> None:
    assert [len(batch) for batch in batches_of([reference(str(number)) for number in range(130)])] == [64, 64, 2]


def test_the_longest_references_still_fit_one_message() -> None:
    longest = DocumentReference(path="\x01" * 4096, uri="\x01" * 4096, sha256="0" * 64)
    (first, *_) = batches_of([longest] * 64)
    message = DocumentsSubmitted(customer="acme", reference="a", documents=first)
    assert 1 < len(first) < 64
    assert len(message.model_dump_json()) < 512 * 1024


def test_a_messages_id_follows_from_its_documents_and_manifest_alone() -> None:
    ids = {
        batch_id(JOB, ["a", "b"]),
        batch_id(JOB, ["b", "a"]),
        batch_id(JOB, ["a"]),
        batch_id(OTHER, ["a", "b"]),
        batch_id(JOB, ["a", "b"], Manifest(documents=2)),
        batch_id(JOB, ["a", "b"], Manifest(documents=3)),
        batch_id(JOB, [], Manifest(documents=2)),
        batch_id(JOB, [], Manifest(documents=2, removed=1)),
    }
    assert len(ids) == 8
    assert batch_id(JOB, ["a", "b"]) in ids


@given(st.lists(st.integers(1, 4000), max_size=3000))
def test_paths_to_remove_travel_in_order_within_both_bounds(lengths: list[int]) -> None:
    paths = [f"{number}/" + "ä" * (length // 2) for number, length in enumerate(lengths)]
    batches = batches_of_paths(paths)
    assert [path for batch in batches for path in batch] == paths
    assert all(0 < len(batch) <= MAX_REMOVED for batch in batches)
    assert all(sum(len(path.encode()) for path in batch) <= MAX_BYTES for batch in batches)
