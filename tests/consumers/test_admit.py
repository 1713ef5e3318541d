import asyncio
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import AsyncGenerator
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from consumers.admit import stage
from consumers.admit.core import MAX_DEPTH, PIECE, number_of, pieces
from consumers.runtime.contract import Done, Failed, Handle, Held, Outcome, Output, Piece, Received, Underway
from engines.extraction import Member, Probe
from engines.extraction.parsers import InProcess
from infra import ledger
from infra.ledger import DocumentState, NewDocument
from infra.parameters import Customer
from infra.paths import file_url
from infra.sources.files import FileSource
from operations.erasure import erase
from operations.jobs import open_path
from schemas.errors import Permanent, Retryable
from schemas.ids import document_id, job_id
from schemas.messages import DocumentAdmitted, DocumentReference, DocumentsSubmitted, Manifest
from schemas.parameters import EmbeddingConfig, InstallationParameters
from tests.engines.samples import tarred
from tests.entrance import NOW, Entrance
from tests.remembered import remember_version

JOB = job_id("acme", "a reference")
PROGRAM = b"\x7fELF\x02\x01\x01" + bytes(64)


def event(
    *references: DocumentReference,
    manifest: int | Manifest | None = None,
    customer: str = "acme",
    update: bool = False,
    removed: tuple[str, ...] = (),
) -> Received[DocumentsSubmitted]:
    message = DocumentsSubmitted(
        customer=customer,
        reference="a reference",
        documents=references,
        manifest=Manifest(documents=manifest) if isinstance(manifest, int) else manifest,
        update=update,
        removed=removed,
    )
    return Received(uuid4(), message.job, message)


async def answers(handle: Handle, *inputs: Received[DocumentsSubmitted]) -> list[Outcome]:
    return [outcome async for outcome in handle(inputs)]


async def admit(entrance: Entrance, *inputs: Received[DocumentsSubmitted]) -> list[Outcome]:
    return await answers(stage(entrance.ports), *inputs)


async def done(entrance: Entrance, received: Received[DocumentsSubmitted]) -> Done:
    (outcome,) = await admit(entrance, received)
    assert isinstance(outcome, Done), outcome
    return outcome


async def refusal(entrance: Entrance, reference: DocumentReference) -> str:
    """The code a lone reference is refused with, once all that goes with it was checked."""
    outcome = await done(entrance, event(reference, manifest=1))
    assert outcome.outputs == ()
    (refused,), (document,) = outcome.refused, outcome.documents
    assert isinstance(refused.message, DocumentsSubmitted)
    assert refused.message.documents == (reference,)
    assert refused.message.manifest is None
    assert (document.state, document.code) == (DocumentState.FAILED, refused.error.code)
    assert open_path(await entrance.jobs.key(JOB), document.id, document.sealed_path) == reference.path
    assert outcome.manifest == 1
    return refused.error.code


def admitted(output: Output) -> DocumentAdmitted:
    assert isinstance(output.message, DocumentAdmitted)
    return output.message


async def states(entrance: Entrance, documents: tuple[NewDocument, ...]) -> dict[str, tuple[str, bool]]:
    key = await entrance.jobs.key(JOB)
    return {open_path(key, one.id, one.sealed_path): (one.code or one.state.value, one.member) for one in documents}


# -- what is let in ---------------------------------------------------------------------------------------------------


async def test_a_foreign_clients_object_is_copied_sealed_and_routed(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    uri = entrance.write("lease.txt", "the rent is due")
    sha256 = hashlib.sha256(b"the rent is due").hexdigest()
    outcome = await done(entrance, event(DocumentReference(path="lease.txt", uri=uri, sha256=sha256), manifest=1))
    (output,), (document,) = outcome.outputs, outcome.documents
    message = admitted(output)
    assert message.document.id == output.document == document.id
    assert message.document.id == document_id(await entrance.jobs.key(JOB), "lease.txt", sha256)
    assert (message.document.media_type, message.document.size) == ("text/plain", 15)
    assert await entrance.sealed.get(JOB, message.object) == b"the rent is due"
    assert b"rent" not in b"".join(entrance.staging.objects.values())
    assert (outcome.manifest, outcome.items, outcome.refused) == (1, 1, ())
    assert (await entrance.ledger.job(JOB)).customer == "acme"


async def test_what_our_producer_submits_is_let_in_as_it_lies(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    entrance.write("a.txt", "text")
    entrance.write("deep/b.md", "# A heading")
    async with entrance.producer() as producer:
        await producer.ingest(str(tmp_path), "acme", "a reference")
    staged = dict(entrance.staging.objects)
    record, _manifest = entrance.broker.records
    address, message = await entrance.submitted(record)
    outcome = await done(entrance, Received(address.id, address.job, message))
    assert [admitted(output).document.path for output in outcome.outputs] == ["a.txt", "deep/b.md"]
    assert {admitted(output).object for output in outcome.outputs} == staged.keys()
    assert entrance.staging.objects == staged


async def test_a_reference_without_a_hash_gets_the_one_of_its_bytes(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    outcome = await done(entrance, event(DocumentReference(path="a.txt", uri=entrance.write("a.txt", "text"))))
    assert admitted(outcome.outputs[0]).document.sha256 == hashlib.sha256(b"text").hexdigest()


async def test_one_bad_piece_does_not_keep_the_rest(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    good = DocumentReference(path="good.txt", uri=entrance.write("good.txt", "text"))
    missing = DocumentReference(path="missing.txt", uri=file_url(tmp_path / "missing.txt"))
    program = DocumentReference(path="program", uri=entrance.write("program", PROGRAM))
    outcome = await done(entrance, event(missing, good, program, manifest=3))
    assert [admitted(output).document.path for output in outcome.outputs] == ["good.txt"]
    assert [refused.error.code for refused in outcome.refused] == ["source.missing", "document.type"]
    assert await states(entrance, outcome.documents) == {
        "missing.txt": ("source.missing", False),
        "good.txt": ("open", False),
        "program": ("document.type", False),
    }
    await entrance.record(outcome, JOB)
    view = await entrance.ledger.job(JOB)
    assert (view.total, view.failed, view.manifest) == (3, 2, 3)


async def test_an_event_may_carry_the_manifest_alone(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    outcome = await done(entrance, event(manifest=0))
    assert (outcome.manifest, outcome.outputs, outcome.documents) == (0, (), ())


async def test_the_same_document_twice_is_let_in_once(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    one = DocumentReference(path="a.txt", uri=entrance.write("a.txt", "text"))
    copy = DocumentReference(path="a.txt", uri=entrance.write("copy.txt", "text"))
    other = DocumentReference(path="b.txt", uri=entrance.write("b.txt", "other text"))
    first, second = await done(entrance, event(one, copy, other)), await done(entrance, event(copy))
    assert [admitted(output).document.path for output in first.outputs] == ["a.txt", "b.txt"]
    assert second.outputs[0].identity == first.outputs[0].identity == UUID(first.documents[0].id)
    for outcome in (first, second):
        await entrance.record(outcome, JOB)
    view = await entrance.ledger.job(JOB)
    assert (view.total, view.open_work) == (2, 2)


async def test_the_same_input_gives_the_same_answer_again(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    received = event(
        *(DocumentReference(path=f"{n}.txt", uri=entrance.write(f"{n}.txt", f"text {n}")) for n in range(PIECE))
    )
    first, again = await done(entrance, received), await done(entrance, received)
    assert first.outputs == again.outputs
    assert [one.id for one in first.documents] == [one.id for one in again.documents]


# -- what is refused --------------------------------------------------------------------------------------------------


async def test_an_unknown_customers_event_fails_as_a_whole(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    uri = entrance.write("a.txt", "text")
    (outcome,) = await admit(entrance, event(DocumentReference(path="a.txt", uri=uri), customer="nobody"))
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "customer.unknown"
    assert not entrance.staging.objects
    assert await entrance.ledger.jobs() == []


async def test_a_path_out_of_the_root_is_refused(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path / "acme").with_customer()
    (tmp_path / "secret.txt").write_text("another customer's")
    entrance.write("a.txt", "text")
    for uri in (f"{file_url(tmp_path)}/acme/../secret.txt", f"{file_url(tmp_path)}/acme/%2e%2e/secret.txt"):
        assert await refusal(entrance, DocumentReference(path="a.txt", uri=uri)) == "source.root"


async def test_another_customers_root_is_refused(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path / "acme").with_customer()
    globex = Entrance(tmp_path / "globex")
    uri = globex.write("a.txt", "another customer's")
    assert await refusal(entrance, DocumentReference(path="a.txt", uri=uri)) == "source.root"


@pytest.mark.parametrize("link", ["file", "folder"])
async def test_a_link_out_of_the_root_is_refused(tmp_path: Path, link: str) -> None:
    entrance = await Entrance(tmp_path / "acme").with_customer()
    entrance.folder.mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret.txt").write_text("another customer's")
    if link == "file":
        (entrance.folder / "link").symlink_to(tmp_path / "elsewhere" / "secret.txt")
    else:
        (entrance.folder / "link").symlink_to(tmp_path / "elsewhere")
    uri = file_url(entrance.folder / "link") + ("" if link == "file" else "/secret.txt")
    assert await refusal(entrance, DocumentReference(path="a.txt", uri=uri)) == "source.root"
    assert not entrance.staging.objects


async def test_a_digest_that_does_not_match_is_refused(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    uri = entrance.write("a.txt", "text")
    assert await refusal(entrance, DocumentReference(path="a.txt", uri=uri, sha256="0" * 64)) == "source.digest"
    assert not entrance.staging.objects


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("empty.txt", b"", "source.empty"),
        ("program", PROGRAM, "document.type"),
        ("old.doc", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "document.encrypted"),
        ("broken.zip", b"PK\x03\x04" + bytes(64), "document.broken"),
    ],
    ids=["empty", "program", "encrypted", "broken"],
)
async def test_a_document_that_cannot_be_worked_on_is_refused(
    tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    assert await refusal(entrance, DocumentReference(path=name, uri=entrance.write(name, content))) == code


async def test_a_folder_a_foreign_scheme_and_a_missing_object_are_refused(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    entrance.write("folder/a.txt", "text")
    uris = {
        file_url(tmp_path / "folder"): "source.missing",
        file_url(tmp_path / "nothing"): "source.missing",
        "https://host/a.txt": "source.scheme",
    }
    for number, (uri, code) in enumerate(uris.items()):
        assert await refusal(entrance, DocumentReference(path=f"{number}.txt", uri=uri)) == code


async def test_staged_bytes_of_another_job_are_refused(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    async with entrance.producer() as producer:
        await producer.open("acme", "another reference")
        await producer.add("a.txt", b"text")
        await producer.close()
    record, _manifest = entrance.broker.records
    _, message = await entrance.submitted(record)
    assert await refusal(entrance, message.documents[0]) == "source.root"


async def test_staged_bytes_that_are_gone_or_changed_are_refused(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    async with entrance.producer() as producer:
        await producer.open("acme", "a reference")
        await producer.add("a.txt", b"text")
        await producer.close()
    record, _manifest = entrance.broker.records
    (reference,) = (await entrance.submitted(record))[1].documents
    (name,) = entrance.staging.objects
    sealed = entrance.staging.objects.pop(name)
    assert await refusal(entrance, reference) == "staging.missing"
    entrance.staging.objects[name] = sealed[:-1] + bytes([sealed[-1] ^ 1])
    assert await refusal(entrance, reference) == "staging.tampered"


async def test_a_document_that_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.admit.raw.MAX_BYTES", 8)
    entrance = await Entrance(tmp_path).with_customer()
    uri = entrance.write("a.txt", "123456789")
    assert await refusal(entrance, DocumentReference(path="a.txt", uri=uri)) == "source.too-large"


# -- archives and mail ------------------------------------------------------------------------------------------------


def zipped(**members: bytes | str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


async def test_an_archives_members_are_the_documents(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    packed = zipped(
        **{"a.txt": "text a", "deep/b.txt": "text b", ".hidden": "no", "__MACOSX/._a.txt": "no", "c": PROGRAM}
    )
    reference = DocumentReference(path="all.zip", uri=entrance.write("all.zip", packed))
    outcome = await done(entrance, event(reference, manifest=1))
    assert await states(entrance, outcome.documents) == {
        "all.zip": ("expanded", False),
        "all.zip!/a.txt": ("open", True),
        "all.zip!/c": ("document.type", True),
        "all.zip!/deep/b.txt": ("open", True),
    }
    objects = [admitted(output).object for output in outcome.outputs]
    assert [await entrance.sealed.get(JOB, name) for name in objects] == [b"text a", b"text b"]
    await entrance.record(outcome, JOB)
    view = await entrance.ledger.job(JOB)
    assert (view.total, view.failed, view.open_work) == (3, 1, 2)


async def test_a_refused_member_can_be_submitted_again_on_its_own(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    reference = DocumentReference(path="all.zip", uri=entrance.write("all.zip", zipped(**{"c": PROGRAM})))
    (refused,) = (await done(entrance, event(reference))).refused
    assert isinstance(refused.message, DocumentsSubmitted)
    (member,) = refused.message.documents
    assert await refusal(entrance, member) == "document.type"  # and so not source.root or staging.missing


async def test_archives_lie_within_archives(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        inner = zipped(**{"a.txt": "text"})
        info = tarfile.TarInfo("inner.zip")
        info.size = len(inner)
        archive.addfile(info, io.BytesIO(inner))
    reference = DocumentReference(path="all.tgz", uri=entrance.write("all.tgz", packed.getvalue()))
    outcome = await done(entrance, event(reference))
    assert await states(entrance, outcome.documents) == {
        "all.tgz": ("expanded", False),
        "all.tgz!/inner.zip": ("expanded", True),
        "all.tgz!/inner.zip!/a.txt": ("open", True),
    }


@pytest.mark.parametrize("deeper", [0, 1])
async def test_archives_nest_only_so_deep(tmp_path: Path, deeper: int) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    packed = b"text"
    for level in range(MAX_DEPTH + deeper):
        packed = zipped(**{"a.txt" if level == 0 else "a.zip": packed})
    reference = DocumentReference(path="a.zip", uri=entrance.write("a.zip", packed))
    outcome = await done(entrance, event(reference))
    assert [refused.error.code for refused in outcome.refused] == ["document.nested"] * deeper
    assert len(outcome.outputs) == 1 - deeper


async def test_a_mail_is_a_document_and_so_are_its_attachments(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.com", "b@example.com", "The lease"
    mail["Date"] = "Fri, 02 Jan 2026 03:04:05 +0000"
    mail.set_content("Here it is.")
    mail.add_attachment("the rent is due", filename="lease.txt")
    reference = DocumentReference(path="a.eml", uri=entrance.write("a.eml", mail.as_bytes()))
    outcome = await done(entrance, event(reference))
    assert await states(entrance, outcome.documents) == {"a.eml": ("open", False), "a.eml!/lease.txt": ("open", True)}
    assert [admitted(output).document.media_type for output in outcome.outputs] == ["message/rfc822", "text/plain"]


async def test_a_member_that_cannot_be_read_keeps_none_of_the_others(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    packed = zipped(**{"a.txt": "text a", "b.txt": "text b", "c.txt": "text c"}).replace(b"text b", b"TEXT B")
    reference = DocumentReference(path="all.zip", uri=entrance.write("all.zip", packed))
    outcome = await done(entrance, event(reference, manifest=1))
    assert await states(entrance, outcome.documents) == {
        "all.zip": ("expanded", False),
        "all.zip!/a.txt": ("open", True),
        "all.zip!/b.txt": ("document.broken", True),
        "all.zip!/c.txt": ("open", True),
    }
    (refused,) = outcome.refused
    failed = next(one for one in outcome.documents if one.state is DocumentState.FAILED)
    assert refused.document == failed.id
    assert isinstance(refused.message, DocumentsSubmitted)
    (again,) = refused.message.documents
    retried = await done(entrance, event(again))  # sent back, it tells the same, and lets in what is in already
    assert {one.id for one in retried.documents} == {one.id for one in outcome.documents}
    assert [output.identity for output in retried.outputs] == [output.identity for output in outcome.outputs]


async def test_a_name_that_leads_elsewhere_is_made_safe(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    packed = zipped(**{"../../etc/passwd": "text a", "/etc/passwd": "text b", "a\n\u202eb": "text c", "n" * 4096: "d"})
    reference = DocumentReference(path="all.zip", uri=entrance.write("all.zip", packed))
    outcome = await done(entrance, event(reference))
    assert outcome.refused == ()
    paths = [admitted(output).document.path for output in outcome.outputs]
    assert paths[:3] == ["all.zip!/etc/passwd", "all.zip!/etc/2-passwd", "all.zip!/a\ufffd\ufffdb"]
    assert len(paths[3]) < 1100


async def test_a_name_that_does_not_fit_beside_its_archives_is_a_dead_letter(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    path = "a" * 4090 + ".zip"
    reference = DocumentReference(path=path, uri=entrance.write("all.zip", zipped(**{"a.txt": "1", "b.txt": "2"})))
    outcome = await done(entrance, event(reference))
    assert [refused.error.code for refused in outcome.refused] == ["source.path", "source.path"]
    assert sorted(one.state for one in outcome.documents) == ["expanded", "failed", "failed"]


async def test_a_compressed_file_is_called_as_it_was(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    uri = entrance.write("plan.csv.gz", gzip.compress(b"lot;pieces\nVS55;120\n"))
    outcome = await done(entrance, event(DocumentReference(path="plan.csv.gz", uri=uri)))
    assert await states(entrance, outcome.documents) == {
        "plan.csv.gz": ("expanded", False),
        "plan.csv.gz!/plan.csv": ("open", True),
    }
    assert admitted(outcome.outputs[0]).document.media_type == "text/csv"


async def test_an_archive_that_breaks_off_lets_nothing_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.extraction.limits.MOST_MEMBERS", 2)
    entrance = await Entrance(tmp_path).with_customer()
    packed = tarred({f"{number}.txt": b"text" for number in range(3)})
    outcome = await done(entrance, event(DocumentReference(path="all.tar", uri=entrance.write("all.tar", packed))))
    assert outcome.outputs == ()
    assert await states(entrance, outcome.documents) == {"all.tar": ("document.costly", False)}


async def test_what_lies_in_one_document_shares_an_allowance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engines.extraction.limits.MOST_MEMBERS", 9)
    monkeypatch.setattr("consumers.admit.core.COST_OF_NESTING", 2)
    entrance = await Entrance(tmp_path).with_customer()
    inner = {f"{number}.zip": zipped(**{"a.txt": f"a {number}", "b.txt": f"b {number}"}) for number in (1, 2)}
    uri = entrance.write("all.zip", zipped(**inner, **{"c.txt": "c"}))
    outcome = await done(entrance, event(DocumentReference(path="all.zip", uri=uri)))
    assert await states(entrance, outcome.documents) == {
        "all.zip": ("expanded", False),
        "all.zip!/1.zip": ("expanded", True),
        "all.zip!/1.zip!/a.txt": ("open", True),
        "all.zip!/1.zip!/b.txt": ("open", True),
        "all.zip!/2.zip": ("document.costly", True),
        "all.zip!/c.txt": ("open", True),
    }
    (refused,) = outcome.refused
    assert isinstance(refused.message, DocumentsSubmitted)
    alone = await done(entrance, event(*refused.message.documents))  # then it has one of its own
    assert len(alone.outputs) == 2


async def test_a_large_archive_tells_that_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.admit.handle.TOLD_SECONDS", 0.001)
    entrance = await Entrance(tmp_path).with_customer()
    proceed = asyncio.Event()

    class Waiting(InProcess):
        async def probe(self, job: UUID, data: bytes, path: str) -> Probe:
            if path.endswith("3.txt"):
                await proceed.wait()
            return await super().probe(job, data, path)

    uri = entrance.write("all.zip", zipped(**{f"{number}.txt": f"text {number}" for number in range(4)}))
    ports = replace(entrance.ports, parsers=Waiting())
    outcomes = []
    async for outcome in stage(ports)([event(DocumentReference(path="all.zip", uri=uri))]):
        outcomes.append(outcome)
        if isinstance(outcome, Underway):
            proceed.set()
    assert isinstance(outcomes[0], Underway), "nobody would have let the last one go on"
    assert isinstance(outcomes[-1], Done)
    assert len(outcomes[-1].outputs) == 4


async def test_members_are_held_one_at_a_time(tmp_path: Path) -> None:
    """None before the next is asked for, whatever an archive holds."""
    entrance = await Entrance(tmp_path).with_customer()
    sealed_before: list[int] = []

    class Watched(InProcess):
        async def members(self, job: UUID, data: bytes, media_type: str) -> AsyncGenerator[Member, None]:
            async for member in super().members(job, data, media_type):
                sealed_before.append(len(entrance.staging.objects))
                yield member

    uri = entrance.write("all.zip", zipped(**{f"{number}.txt": f"text {number}" for number in range(4)}))
    ports = replace(entrance.ports, parsers=Watched())
    await answers(stage(ports), event(DocumentReference(path="all.zip", uri=uri)))
    assert sealed_before == [1, 2, 3, 4]


# -- the job ----------------------------------------------------------------------------------------------------------


async def test_a_full_window_holds_the_customers_documents_but_not_others(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer(window=2)
    await entrance.store.put_customer(Customer("globex"))
    await entrance.store.add_version(
        (await entrance.store.version("acme"))[1].model_copy(update={"customer_id": "globex"})
    )
    references = [DocumentReference(path=f"{n}.txt", uri=entrance.write(f"{n}.txt", f"text {n}")) for n in range(4)]
    over, waits, closes = event(*references[:3]), event(references[3]), event(manifest=4)
    others = event(DocumentReference(path="a.txt", uri="file:///globex/a.txt"), customer="globex")
    first, held, closed, other = await admit(entrance, over, waits, closes, others)
    assert isinstance(first, Done)
    assert len(first.outputs) == 3  # a piece is not torn
    assert isinstance(held, Held)
    assert held.seconds > 0
    assert isinstance(closed, Done)
    assert isinstance(other, Done)
    await entrance.record(first, JOB)
    assert isinstance((await admit(entrance, waits))[0], Held)  # now by what the ledger counts


async def test_a_large_event_fills_the_window_only_to_within_a_piece(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer(window=PIECE + 1)
    count = 4 * PIECE + 1
    names = [f"{number:03}.txt" for number in range(count)]
    references = [DocumentReference(path=name, uri=entrance.write(name, name)) for name in names]
    large = event(*references, manifest=count)
    first, second, held = await admit(entrance, large)
    assert [type(outcome) for outcome in (first, second, held)] == [Piece, Piece, Held]
    units = [await entrance.record(piece, JOB) for piece in (first, second) if isinstance(piece, Piece)]
    (again,) = await admit(entrance, large)
    assert isinstance(again, Held)
    finished = [ledger.Outcome(unit.message, JOB, unit.document) for unit in (*units[0], *units[1])]
    await entrance.ledger.record("chunk", finished, now=NOW)
    third, fourth, held = await admit(entrance, large)
    assert isinstance(third, Piece)
    assert isinstance(fourth, Piece)
    assert isinstance(held, Held)
    for piece in (third, fourth):
        units.append(await entrance.record(piece, JOB))
    finished = [ledger.Outcome(unit.message, JOB, unit.document) for unit in (*units[2], *units[3])]
    await entrance.ledger.record("chunk", finished, now=NOW)
    (last,) = await admit(entrance, large)
    assert isinstance(last, Done)
    assert last.manifest == count
    let_in = [admitted(o).document.path for done in (first, second, third, fourth, last) for o in done.outputs]  # type: ignore[union-attr]
    assert let_in == names


def test_a_piece_tells_where_it_begins_and_ends() -> None:
    count = 2 * PIECE + 1
    references = tuple(DocumentReference(path=f"{n}", uri="file:///x") for n in range(count))
    cut = pieces(DocumentsSubmitted(customer="acme", reference="r", documents=references))
    assert [place for piece in cut for place in piece] == list(range(count))
    assert [len(piece) for piece in cut] == [PIECE, PIECE, 1]
    assert len({number_of(piece) for piece in (*cut, range(0, count), range(PIECE, count))}) == 5
    assert pieces(DocumentsSubmitted(customer="acme", reference="r", manifest=Manifest(documents=0))) == [range(0)]


async def test_the_window_opens_again_as_work_is_finished(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer(window=1)
    references = [DocumentReference(path=f"{n}.txt", uri=entrance.write(f"{n}.txt", f"text {n}")) for n in range(2)]
    first = await done(entrance, event(references[0]))
    (unit,) = await entrance.record(first, JOB)
    waits = event(references[1])
    assert isinstance((await admit(entrance, waits))[0], Held)
    await entrance.ledger.record("chunk", [ledger.Outcome(unit.message, JOB, unit.document)], now=NOW)
    assert isinstance((await admit(entrance, waits))[0], Done)


async def test_an_erased_jobs_event_fails(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    await done(entrance, event(manifest=1))
    await erase(JOB, ledger=entrance.ledger, keys=entrance.keys, staging=entrance.staging, clock=lambda: NOW)
    (outcome,) = await admit(entrance, event(DocumentReference(path="a.txt", uri=entrance.write("a.txt", "text"))))
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "job.erased"
    assert not entrance.staging.objects


async def test_a_second_manifest_that_differs_fails(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    await entrance.record(await done(entrance, event(manifest=2)), JOB)
    same, other = await admit(entrance, event(manifest=2), event(manifest=3))
    assert isinstance(same, Done)
    assert isinstance(other, Failed)
    assert other.error.code == "job.manifest"


async def test_a_job_that_is_over_takes_no_document(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    await entrance.record(await done(entrance, event(manifest=0)), JOB)
    (outcome,) = await admit(entrance, event(DocumentReference(path="a.txt", uri=entrance.write("a.txt", "text"))))
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "job.closed"


async def test_a_job_erased_meanwhile_ends_the_event(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    reference = DocumentReference(path="a.txt", uri=entrance.write("a.txt", "text"))

    class Erasing(FileSource):
        def lies_under(self, uri: str, root: str) -> bool:
            entrance.seconds = 1000
            entrance.keys._destroyed.add(str(JOB))
            return super().lies_under(uri, root)

    ports = replace(entrance.ports, source=lambda uri: Erasing())
    (outcome,) = await answers(stage(ports), event(reference))
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "key.destroyed"


async def test_a_source_that_is_away_blames_no_document(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()

    class Away(FileSource):
        def lies_under(self, uri: str, root: str) -> bool:
            raise Retryable("dependency.away", name="source")

    ports = replace(entrance.ports, source=lambda uri: Away())
    with pytest.raises(Retryable):
        await answers(stage(ports), event(DocumentReference(path="a.txt", uri=entrance.write("a.txt", "text"))))


async def test_large_documents_are_read_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.admit.raw.LARGE_BYTES", 8)
    entrance = await Entrance(tmp_path).with_customer()
    in_hand, most = 0, 0
    put = entrance.sealed.put

    async def counting(job: UUID, kind: str, name: str, data: bytes) -> str:
        nonlocal in_hand, most
        in_hand, most = in_hand + 1, max(most, in_hand + 1)
        for _ in range(20):
            await asyncio.sleep(0)
        in_hand -= 1
        return await put(job, kind, name, data)

    monkeypatch.setattr(entrance.sealed, "put", counting)
    for size, expected in ((9, 1), (8, 4)):
        most = 0
        names = [f"{size}-{number}.txt" for number in range(4)]
        references = [DocumentReference(path=name, uri=entrance.write(name, name[-5] * size)) for name in names]
        outcome = await done(entrance, event(*references))
        assert len(outcome.outputs) == 4
        assert (most == 1) is (expected == 1)


# -- updates ----------------------------------------------------------------------------------------------------------


async def with_version(tmp_path: Path) -> Entrance:
    entrance = await Entrance(tmp_path).with_customer()
    await remember_version(entrance)
    return entrance


async def test_an_event_of_an_update_opens_it_over_the_newest_version(tmp_path: Path) -> None:
    entrance = await with_version(tmp_path)
    await remember_version(entrance, "v1.1-update", extends="v1.0-init")
    await entrance.store.add_version(
        InstallationParameters(customer_id="acme", embedding_config=EmbeddingConfig(model="fake", normalize=False))
    )
    uri = entrance.write("new.txt", "text")
    await done(entrance, event(DocumentReference(path="new.txt", uri=uri), update=True))
    view = await entrance.ledger.job(JOB)
    assert (view.extends, view.parameters) == ("v1.1-update", 1), "pinned by the version, though there is a newer one"
    await remember_version(entrance, "v1.2-update", extends="v1.1-update")
    await done(entrance, event(manifest=1, update=True))
    assert (await entrance.ledger.job(JOB)).extends == "v1.1-update", "what the first event opened stays"


async def test_what_an_update_removes_is_known_sealed_and_waited_for(tmp_path: Path) -> None:
    entrance = await with_version(tmp_path)
    removed = ("canary.txt", "old/", "canary.txt")
    outcome = await done(entrance, event(update=True, removed=removed))
    assert (outcome.outputs, outcome.manifest) == ((), None)
    assert await states(entrance, outcome.documents) == {"canary.txt": ("expanded", False), "old/": ("expanded", False)}
    assert not any(b"canary" in one.sealed_path for one in outcome.documents)
    again = await done(entrance, event(update=True, removed=removed[::-1]))
    assert {one.id for one in again.documents} == {one.id for one in outcome.documents}, "twice is once"

    closing = await done(entrance, event(manifest=Manifest(documents=0, removed=2), update=True))
    await entrance.record(closing, JOB)
    assert (await entrance.ledger.job(JOB)).state == "processing", "a manifest that came first waits"
    await entrance.record(outcome, JOB)
    view = await entrance.ledger.job(JOB)
    assert (view.state, view.total) == ("complete", 0)
    late = event(update=True, removed=("late.txt",))
    assert await code(entrance, late) == "job.closed"


async def test_a_refused_piece_of_an_update_takes_no_removal_along(tmp_path: Path) -> None:
    entrance = await with_version(tmp_path)
    missing = DocumentReference(path="missing.txt", uri=file_url(tmp_path / "missing.txt"))
    outcome = await done(entrance, event(missing, update=True, removed=("old.txt",)))
    (refused,) = outcome.refused
    assert isinstance(refused.message, DocumentsSubmitted)
    assert (refused.message.update, refused.message.removed) == (True, ())


async def test_removals_come_with_the_last_piece(tmp_path: Path) -> None:
    entrance = await with_version(tmp_path)
    count = PIECE + 1
    references = [DocumentReference(path=f"{n}.txt", uri=entrance.write(f"{n}.txt", f"text {n}")) for n in range(count)]
    piece, last = await admit(entrance, event(*references, update=True, removed=("old.txt",)))
    assert isinstance(piece, Piece)
    assert isinstance(last, Done)
    assert (len(piece.documents), len(last.documents)) == (PIECE, 2)


async def code(entrance: Entrance, received: Received[DocumentsSubmitted]) -> str:
    (outcome,) = await admit(entrance, received)
    assert isinstance(outcome, Failed), outcome
    return outcome.error.code


@pytest.mark.parametrize("first", [True, False])
async def test_a_jobs_events_agree_whether_it_is_an_update(tmp_path: Path, first: bool) -> None:
    entrance = await with_version(tmp_path)
    reference = DocumentReference(path="a.txt", uri=entrance.write("a.txt", "text"))
    await done(entrance, event(reference, update=first))
    before = await entrance.ledger.job(JOB)
    assert await code(entrance, event(manifest=1, update=not first)) == "update.disagrees"
    assert await entrance.ledger.job(JOB) == before
    await done(entrance, event(manifest=1, update=first))


async def test_an_update_of_nothing_is_refused_whole_and_leaves_no_key(tmp_path: Path) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    assert await code(entrance, event(update=True, removed=("a.txt",))) == "update.nothing"
    assert await code(entrance, event(update=True, removed=("a.txt",), customer="nobody")) == "customer.unknown"
    with pytest.raises(Permanent) as caught:
        await entrance.keys.fetch(str(JOB))
    assert caught.value.code == "key.unknown"
    await remember_version(entrance)
    await done(entrance, event(update=True, removed=("a.txt",)))


@pytest.mark.parametrize(
    ("other", "refused"), [({"format": 1}, "update.format"), ({"fingerprint": "f" * 64}, "update.stages")]
)
async def test_an_update_of_what_this_release_makes_otherwise_is_refused(
    tmp_path: Path, other: dict[str, object], refused: str
) -> None:
    entrance = await Entrance(tmp_path).with_customer()
    await remember_version(entrance, **other)
    assert await code(entrance, event(update=True, removed=("a.txt",))) == refused
