"""Updates over every real stage in memory: what they pin, what they hide, what their image is, and how they replay."""

import os
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from uuid import UUID

import apsw
import pytest

from builders.image import data_layers
from builders.oci.read import Image, open_image
from infra.broker import OutgoingRecord, StoredRecord
from infra.ledger import DocumentState, JobState
from infra.paths import CustomerPaths
from operations.erasure import erase
from operations.jobs import open_path
from operations.reconcile import Bench, reconcile
from operations.replay import Request, carry_out, plan
from operations.search import search
from operations.updates import many_updates
from operations.verify import verify
from schemas.errors import CradleError, Permanent
from schemas.messages import DocumentReference, DocumentsSubmitted, Manifest
from schemas.parameters import EmbeddingConfig
from schemas.versions import MOST_UPDATES
from tests.entrance import NOW
from tests.operations.workshop import SOURCES, Workshop

TOPICS = ("ingest", "chunk-ready", "chunked", "embedded", "bake-ready")
CHANGED: dict[str, bytes | str] = {"a/lease.txt": "The rent is due on the second.", "new.txt": "Something new."}


@pytest.fixture
async def workshop(tmp_path: Path) -> Workshop:
    """Its version v1.0 holds SOURCES and an archive."""
    workshop = await Workshop.open(tmp_path)
    job = await workshop.finish(
        {**SOURCES, "d.zip": archive(one="The first member.", two="The second member.")}, "full"
    )
    await workshop.remember(job, "v1.0-init")
    return workshop


def archive(**members: str) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in members.items():
            made.writestr(f"{name}.txt", content)
    return file.getvalue()


async def image_of(workshop: Workshop, job: UUID) -> Image:
    view = await workshop.view(job)
    return open_image(CustomerPaths(workshop.home, "acme").image(job, view.generation))


def content(image: Image) -> tuple[list[str], list[str]]:
    """Paths of the documents in the newest data layer, and what it hides below."""
    layers = data_layers(image)
    connection = apsw.Connection(":memory:")
    connection.deserialize("main", layers[max(layers)][0].read())
    paths = [path for (path,) in connection.execute("SELECT path FROM documents ORDER BY document")]
    hidden = [path for (path,) in connection.execute("SELECT path FROM hidden ORDER BY path")]
    connection.close()
    return paths, hidden


async def known(workshop: Workshop, job: UUID) -> list[tuple[str, str]]:
    """Path and state of all that the ledger knows: `new.txt` may be both added and removed."""
    key = await workshop.jobs.key(job)
    rows = await workshop.entrance.ledger.documents(job)
    return sorted((open_path(key, row.id, row.sealed_path), row.state.value) for row in rows)


async def refusal(workshop: Workshop, request: Request) -> str:
    with pytest.raises(CradleError) as caught:
        await plan(request, workshop.replay_ports)
    return caught.value.code


async def test_an_update_is_one_more_layer_over_an_image_that_is_only_remembered(workshop: Workshop) -> None:
    below = await image_of(workshop, (await workshop.entrance.ledger.jobs())[0].id)
    job = await workshop.update(CHANGED, removed=["c/plan.csv", "b/"])
    view = await workshop.baked(job)
    assert (view.extends, view.done, view.total) == ("v1.0-init", 2, 2)
    image = await image_of(workshop, job)
    image.verify()
    assert image.missing == [layer["digest"] for layer in below.layers]
    assert content(image) == (["a/lease.txt", "new.txt"], ["a/lease.txt", "b/", "c/plan.csv", "new.txt"])
    assert view.image == image.digest


async def test_an_archive_hides_what_it_held_before_and_a_failed_document_what_it_was(workshop: Workshop) -> None:
    sources = {"d.zip": archive(two="It says something else.", three="A third."), "c/plan.csv": b"\0\1\2\3" * 9}
    job = await workshop.update(sources)
    assert await workshop.states(job) == {
        "c/plan.csv": "document.type",
        "d.zip": "expanded",
        "d.zip!/two.txt": "done",
        "d.zip!/three.txt": "done",
    }
    paths, hidden = content(await image_of(workshop, job))
    assert paths == ["d.zip!/three.txt", "d.zip!/two.txt"]
    assert {"d.zip", "c/plan.csv"} <= set(hidden)


async def test_the_same_update_over_the_same_version_is_the_same_image(workshop: Workshop) -> None:
    jobs = [
        await workshop.update(CHANGED, removed=["b/", "c/plan.csv"], reference="one"),
        await workshop.update(dict(reversed(CHANGED.items())), removed=["c/plan.csv", "b/"], reference="other"),
    ]
    one, other = [await workshop.baked(job) for job in jobs]
    assert (one.image, one.merkle) == (other.image, other.merkle)


async def test_an_update_may_only_remove(workshop: Workshop) -> None:
    job = await workshop.update({}, removed=["a/lease.txt"])
    view = await workshop.baked(job)
    assert (view.total, view.chunks) == (0, 0)
    assert content(await image_of(workshop, job)) == ([], ["a/lease.txt"])
    assert (await verify(job, workshop.verify_ports)).holds


async def test_an_update_of_nothing_at_all_fails(workshop: Workshop) -> None:
    view = await workshop.view(await workshop.update({}))
    assert (view.state, view.reason) == (JobState.FAILED, "job.empty")


async def test_the_newest_image_is_searched_with_those_below_that_still_stand(workshop: Workshop) -> None:
    [full] = await workshop.entrance.ledger.jobs()
    job = await workshop.update(CHANGED, removed=["b/"])
    first, newest = [CustomerPaths(workshop.home, "acme").image(one, 1) for one in (full.id, job)]
    os.utime(newest / "index.json", (2**31, 2**31))  # of two in one second the newest
    paths = {passage["document"] for passage in search(workshop.home, "acme", "rent pump something member", 20)}
    assert paths == {"a/lease.txt", "new.txt", "c/plan.csv", "d.zip!/one.txt", "d.zip!/two.txt"}
    [lease] = search(workshop.home, "acme", "when is the rent due", 1)
    assert lease["text"] == CHANGED["a/lease.txt"]
    first.rename(first.parent.parent / "elsewhere")
    with pytest.raises(CradleError) as caught:
        search(workshop.home, "acme", "rent")
    assert caught.value.code == "image.thin"


async def test_an_update_needs_nothing_of_what_it_lies_over(workshop: Workshop) -> None:
    """Its job is erased, its image deleted: the record is all there is."""
    [full] = await workshop.entrance.ledger.jobs()
    entrance = workshop.entrance
    await erase(full.id, ledger=entrance.ledger, keys=entrance.keys, staging=entrance.staging, clock=lambda: NOW)
    layout = CustomerPaths(workshop.home, "acme").image(full.id, 1)
    for file in sorted(layout.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    assert not entrance.staging.objects
    job = await workshop.update(CHANGED, removed=["b/"])
    assert content(await image_of(workshop, job))[0] == ["a/lease.txt", "new.txt"]


async def test_updates_lie_over_each_other(workshop: Workshop) -> None:
    first = await workshop.update(CHANGED, reference="first")
    await workshop.remember(first, "v1.1-update")
    second = await workshop.update({"new.txt": "Newer still."}, reference="second")
    assert (await workshop.baked(second)).extends == "v1.1-update"
    image = await image_of(workshop, second)
    assert [layer["annotations"]["cradle.layer"] for layer in image.layers] == [
        "appliance",
        "data-000",
        "data-001",
        "data-002",
    ]
    below = await image_of(workshop, first)
    assert image.missing == [layer["digest"] for layer in below.layers]


async def test_an_update_keeps_the_parameters_of_what_it_lies_over(workshop: Workshop) -> None:
    await workshop.add_parameters(embedding_config=EmbeddingConfig(model="fake", normalize=False))
    view = await workshop.baked(await workshop.update(CHANGED))
    [full] = [one for one in await workshop.entrance.ledger.jobs() if one.extends is None]
    assert (view.parameters, view.fingerprint) == (full.parameters, full.fingerprint) == (1, full.fingerprint)


async def test_where_the_engine_has_changed_there_is_no_update(workshop: Workshop) -> None:
    workshop.engine = " of a later day"
    with pytest.raises(Permanent) as caught:
        await workshop.update(CHANGED)
    assert caught.value.code == "update.stages"
    assert "embed" in caught.value.sentence


async def test_a_version_that_the_archive_lost_fails_the_bake(workshop: Workshop) -> None:
    job = await workshop.submit(CHANGED, "an update", update=True)
    workshop.entrance.archive.objects.clear()
    await workshop.run()
    view = await workshop.view(job)
    assert (view.state, view.reason) == (JobState.FAILED, "version.unknown")


async def test_parts_and_image_of_an_update_are_verified(workshop: Workshop) -> None:
    verified = await verify(await workshop.update(CHANGED, removed=["b/"]), workshop.verify_ports)
    assert verified.holds
    assert [proof.place.name for proof in verified.proofs] == ["parts", "image"]


async def test_a_clear_event_of_a_foreign_client_opens_the_same(workshop: Workshop) -> None:
    ours = await workshop.baked(await workshop.update(CHANGED, removed=["b/"]))
    references = tuple(
        DocumentReference(path=path, uri=workshop.entrance.write(path, text)) for path, text in CHANGED.items()
    )
    about = {"customer": "acme", "reference": "foreign", "update": True}
    events = [
        DocumentsSubmitted(**about, manifest=Manifest(documents=2, removed=1)),
        DocumentsSubmitted(**about, removed=("b/",)),
        DocumentsSubmitted(**about, documents=references),
    ]
    for one in events:
        await workshop.publish_clear(one)
    await workshop.run()
    theirs = await workshop.baked(events[0].job)
    assert (theirs.extends, theirs.image, theirs.merkle) == (ours.extends, ours.image, ours.merkle)


# -- replay -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("topic", TOPICS)
async def test_a_replayed_update_is_the_same_update(workshop: Workshop, topic: str) -> None:
    sources = {**CHANGED, "d.zip": archive(two="It says something else.")}
    job = await workshop.update(sources, removed=["b/", "c/plan.csv", "new.txt"])
    parent = await workshop.baked(job)
    await workshop.remember(job, "v1.1-update")
    [asked], refused = await plan(Request(topic, job=job), workshop.replay_ports)
    assert refused == []
    child = (await carry_out(asked, workshop.replay_ports)).job
    await workshop.run()
    view = await workshop.baked(child)
    assert (view.extends, view.image, view.merkle) == (parent.extends, parent.image, parent.merkle)
    assert await known(workshop, child) == await known(workshop, job)


async def test_a_replay_of_one_document_inherits_what_is_removed(workshop: Workshop) -> None:
    job = await workshop.update(CHANGED, removed=["b/"])
    parent = await workshop.baked(job)
    [asked], _ = await plan(Request("ingest", job=job, documents=("new.txt",)), workshop.replay_ports)
    child = (await carry_out(asked, workshop.replay_ports)).job
    await workshop.run()
    assert (await workshop.baked(child)).image == parent.image


async def test_a_replay_of_an_update_changes_neither_parameters_nor_stages(workshop: Workshop) -> None:
    number = await workshop.add_parameters(embedding_config=EmbeddingConfig(model="fake", normalize=False))
    job = await workshop.update(CHANGED)
    assert await refusal(workshop, Request("ingest", job=job, parameters=number)) == "update.parameters"
    stages = workshop.topology.stages
    risen = {**stages, "chunk": stages["chunk"].model_copy(update={"version": 9})}
    workshop.topology = replace(workshop.topology, stages=risen)
    assert await refusal(workshop, Request("ingest", job=job)) == "update.stages"
    [full] = [one for one in await workshop.entrance.ledger.jobs() if one.extends is None]
    [asked], _ = await plan(Request("ingest", job=full.id), workshop.replay_ports)
    assert asked.parent.id == full.id


async def test_a_reconciled_update_stays_one(workshop: Workshop) -> None:
    """Its documents are admitted again by events of another hand; what it removes was known already."""
    job = await workshop.submit(CHANGED, "an update", update=True, removed=["b/"])
    await workshop.run("admit")
    workshop.forget_records("chunk-ready", job)
    entrance = workshop.entrance
    bench = Bench(
        broker=workshop.broker,
        ledger=entrance.ledger,
        staging=entrance.staging,
        unsealed=entrance.sealed,
        key=workshop.jobs.key,
        topology=workshop.topology,
        clock=lambda: NOW,
        entropy=os.urandom,
    )
    [mended] = [one for one in (await reconcile(bench)).jobs if one.view.id == job]
    assert len(mended.documents) == 2
    await workshop.run()
    await workshop.baked(job)
    assert content(await image_of(workshop, job)) == (["a/lease.txt", "new.txt"], ["a/lease.txt", "b/", "new.txt"])


async def test_a_redriven_update_is_baked_anew_over_what_it_lay_over(workshop: Workshop) -> None:
    workshop.broken["bake"] = "job.incomplete"
    job = await workshop.submit(CHANGED, "an update", update=True, removed=["b/"])
    await workshop.run()
    assert (await workshop.view(job)).state is JobState.FAILED
    workshop.broken.clear()
    rows = await workshop.entrance.ledger.documents(job)
    assert [row.state for row in rows].count(DocumentState.EXPANDED) == 1
    [letter] = workshop.records_of(job, "bake-ready")
    identity = UUID(dict(letter.headers)["ce_id"].decode())  # type: ignore[union-attr]
    assert await workshop.entrance.ledger.redrive("bake", identity, job=job, now=NOW)
    await workshop.broker.publish([as_it_was(letter)])
    await workshop.run()
    assert content(await image_of(workshop, job))[1] == ["a/lease.txt", "b/", "new.txt"]


def as_it_was(record: StoredRecord) -> OutgoingRecord:
    return OutgoingRecord(
        record.topic, record.key or b"", record.value, [(name, content or b"") for name, content in record.headers]
    )


@pytest.mark.parametrize(
    ("extends", "many"),
    [
        (None, False),
        ("v1.0-init", False),
        (f"v2.{MOST_UPDATES - 1}-update", False),
        (f"v2.{MOST_UPDATES}-update", True),
    ],
)
def test_after_ten_updates_a_full_job_is_offered(extends: str | None, many: bool) -> None:
    assert many_updates(extends) is many
