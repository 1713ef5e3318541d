"""A canary in a document's text and name is nowhere in the clear while its job waits to be erased."""

import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psycopg
import pytest
import redis

from infra.broker import OutgoingRecord, open_broker
from infra.staging import open_staging
from tests.engines import samples
from tests.roads.road import CUSTOMER, STAGES, Road

PIECE = 1 << 20


def folders_with(needle: str, *folders: Path, besides: Path) -> list[Path]:
    """Files below `folders` with `needle` in their bytes or name, in UTF-8 or UTF-16; not those below `besides`."""
    found = []
    for folder in folders:
        for file in sorted(folder.rglob("*")):
            if file.is_relative_to(besides) or not file.is_file() or file.is_symlink():
                continue
            if needle in file.name or _holds(file, [needle.encode(), needle.encode("utf-16-le")]):
                found.append(file)
    return found


def _holds(file: Path, needles: list[bytes]) -> bool:
    overlap = max(map(len, needles))
    tail = b""
    with file.open("rb") as stream:
        while piece := stream.read(PIECE):
            window = tail + piece
            if any(needle in window for needle in needles):
                return True
            tail = window[-overlap:]
    return False


def plant(folder: Path, canary: str) -> None:
    """One document of each way through the stages, the canary in its text and name; the picture is refused."""
    text = f"The code word of this quarter is {canary}."
    word = samples.docx(samples.heading(1, canary) + samples.paragraph(text))
    files = {
        f"{canary}.md": f"# Report {canary}\n\n{text}\n".encode(),
        f"{canary}.pdf": samples.pdf([[f"Report {canary}", text]]),
        f"{canary}.docx": word,
        f"{canary}.zip": samples.zipped({f"{canary} within.docx": word}),
        "mail.eml": f"From: a@example.com\nTo: b@example.com\nSubject: {canary}\n\n{text}\n".encode(),
        f"{canary}.png": b"\x89PNG\r\n\x1a\n" + canary.encode() * 40,
    }
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def run_job(road: Road, folder: Path, canary: str) -> None:
    """A job that is baked and kept: one document of six is refused, the others are found."""
    road.run("up")
    road.run("customer", "add", CUSTOMER)
    road.start(*STAGES)
    job = road.json("ingest", str(folder), "--customer", CUSTOMER)["job"]
    report = road.wait_for_job(job)
    assert report["state"] == "baked", f"{report}\n{road.logs()}"
    assert report["documents"] == {"total": 6, "done": 5, "failed": 1}
    assert canary in road.json("search", CUSTOMER, "code word of this quarter")[0]["text"]


@pytest.fixture
def canary() -> str:
    return f"canary{secrets.token_hex(12)}"


def test_on_the_embedded_stack(tmp_path: Path, new_home: Callable[[], Path], canary: str) -> None:
    """Broker log, PostgreSQL's data and WAL, staging, keys and every log line lie under the one home."""
    plant(tmp_path / "documents", canary)
    home = new_home()
    road = Road(home)
    try:
        run_job(road, tmp_path / "documents", canary)
        assert_scan_is_clean(canary, home, besides=home / "images")
        road.run("down")  # what the servers write on their way out
        assert_scan_is_clean(canary, home, besides=home / "images")
    finally:
        road.stop()
        road.run("down", ok=False)


def assert_scan_is_clean(canary: str, *folders: Path, besides: Path) -> None:
    """After proof that the scan would find the canary: a control file in each folder, then none."""
    for folder in folders:
        controls = {folder / "control", folder / "control16", folder / f"x{canary}x"}
        (folder / "control").write_bytes(b"\0" * (PIECE - 7) + canary.encode())
        (folder / "control16").write_text(canary, encoding="utf-16-le")
        (folder / f"x{canary}x").touch()
        assert set(folders_with(canary, folder, besides=besides)) == controls
        for control in controls:
            control.unlink()
        assert folders_with(canary, folder, besides=besides) == []


@pytest.mark.kafka
@pytest.mark.s3
@pytest.mark.redis
async def test_on_real_services(
    real_road: Road, canary: str, tmp_path: Path, service_folders: Callable[[], list[Path]]
) -> None:
    """Kafka's logs, PostgreSQL's folder with its WAL, the S3 server's files, a dump of Redis, CRADLE_HOME."""
    plant(tmp_path / "documents", canary)
    run_job(real_road, tmp_path / "documents", canary)
    control = f"control{secrets.token_hex(12)}"
    await write_through_each(control, real_road)
    folders = service_folders()
    for folder in folders:  # the scan finds what went through the service in the clear
        assert folders_with(control, folder, besides=real_road.home), folder
    assert_scan_is_clean(canary, real_road.home, *folders, besides=real_road.home / "images")


async def write_through_each(text: str, road: Road) -> None:
    """The text through Kafka, PostgreSQL, S3 and Redis, as a careless program would write it."""
    async with open_broker(road.settings["CRADLE_BROKER_URL"]) as broker:
        await broker.publish([OutgoingRecord("ingest.dlq", b"", text.encode(), ())])
    with psycopg.connect(road.settings["CRADLE_LEDGER_URL"]) as connection:
        connection.execute("CREATE TABLE careless (text text)")
        connection.execute("INSERT INTO careless VALUES (%s)", (text,))
    async with open_staging(road.settings["CRADLE_STAGING_URL"]) as staging:

        async def content() -> AsyncIterator[bytes]:
            yield text.encode()

        await staging.write("careless/object", content())
    with redis.Redis.from_url(road.settings["CRADLE_PROGRESS_URL"]) as client:
        client.set("careless", text)
