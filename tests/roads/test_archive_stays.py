"""What was archived stays, and nobody but the customer opens it: one installation on the embedded stack, on which
everything is tried. Its /tmp and TMPDIR are a folder that is watched.
"""

import base64
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pyrage
import pytest
from typer.testing import CliRunner

from cradle.commands import app
from infra.local import stack
from infra.paths import file_url
from infra.staging import open_staging
from schemas.errors import Permanent
from tests.conftest import ROOT
from tests.roads.age import opens, opens_header, secret_of, stanzas
from tests.roads.road import CUSTOMER, STAGES, Road

OWN_TMP = os.geteuid() == 0 and not ROOT.is_relative_to("/tmp")
"""Whether /tmp itself can be another folder: mounting needs root, and a checkout must not vanish under it. Otherwise
TMPDIR alone is watched."""
WITH_TMP = ("unshare", "--mount", "sh", "-c", 'mount --bind "$1" /tmp && shift && exec "$@"', "sh")
"""Runs a command whose /tmp is another folder."""
MOST_BYTES = 2048
"""Of a file or value whose every 32 bytes are tried; keys stand in small ones."""


@dataclass(frozen=True)
class Delivered:
    """An installation that packaged v1.0 and v1.1 of one customer."""

    road: Road
    identity: pyrage.x25519.Identity
    jobs: tuple[str, str]
    watched: Path
    untouched: int
    """When the watched folder's entries last changed, before anything ran: a file that came and went changes it too."""

    @property
    def archived(self) -> dict[str, tuple[str, int, int]]:
        """Every file below versions/: SHA-256, mode, inode."""
        versions = self.road.home / "versions"
        files = [path for path in versions.rglob("*") if path.is_file()]
        return {str(path.relative_to(versions)): _state(path) for path in files}

    @property
    def copies(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted((self.road.home / "versions").rglob("*.age"))]


def _state(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return hashlib.sha256(path.read_bytes()).hexdigest(), status.st_mode, status.st_ino


@pytest.fixture(scope="module")
def delivered() -> Iterator[Delivered]:
    folder = Path(tempfile.mkdtemp(prefix="cradle-roads-", dir="/var/tmp"))
    home, watched, documents = (folder / name for name in ("home", "watched", "documents"))
    for one in (home, watched, documents):
        one.mkdir()
    watched.chmod(0o1777)
    untouched = watched.stat().st_mtime_ns
    identity = pyrage.x25519.Identity.generate()
    road = Road(
        home, {"TMPDIR": "/tmp" if OWN_TMP else str(watched)}, through=(*WITH_TMP, str(watched)) if OWN_TMP else ()
    )
    try:
        road.run("up")
        road.run("customer", "add", CUSTOMER, "--recipient", str(identity.to_public()))
        road.start(*STAGES)
        first = deliver(road, documents, {"pump.txt": "The pump is serviced each spring.", "b.md": "# Hall\n\nSeven."})
        second = deliver(road, documents, {"canteen.txt": "Lunch is served from noon until two."}, "--update")
        yield Delivered(road, identity, (first, second), watched, untouched)
    finally:
        road.stop()
        road.run("down", ok=False)
        subprocess.run(["chmod", "-R", "u+w", folder], check=False)
        shutil.rmtree(folder)


def deliver(road: Road, folder: Path, texts: dict[str, str], *more: str) -> str:
    """The job of these documents alone, packaged."""
    shutil.rmtree(folder)
    folder.mkdir()
    for name, text in texts.items():
        (folder / name).write_text(text)
    job = str(road.json("ingest", str(folder), "--customer", CUSTOMER, *more)["job"])
    report = road.wait_for_job(job)
    assert report["state"] == "baked", f"{report}\n{road.logs()}"
    road.run("package", job)
    return job


# -- nobody but the customer opens it ---------------------------------------------------------------------------------


def test_nothing_that_the_installation_has_opens_what_it_archived(delivered: Delivered) -> None:
    keys = candidates(delivered)
    assert len(keys) > 1000, "the keys folder alone has more"
    assert len(delivered.copies) == 2
    assert openers(delivered.copies, keys) == []
    assert [key for key in short_candidates(delivered) for copy in delivered.copies if opens_header(copy, key)] == []


def test_the_customers_identity_opens_it_and_would_have_been_found(delivered: Delivered) -> None:
    secret = secret_of(str(delivered.identity))
    for copy in delivered.copies:
        assert pyrage.decrypt(copy, [delivered.identity])[257:262] == b"ustar"
    assert openers(delivered.copies, {bytes(32), secret}) == [secret]
    forms = (
        b"before" + secret + b"after",
        f"key: {secret.hex()}\n".encode(),
        base64.b64encode(secret),
        b"key=" + base64.urlsafe_b64encode(secret).rstrip(b"="),
        f"# a note\n{delivered.identity}\n".encode(),
    )
    assert [secret in keys_in(form) for form in forms] == [True] * len(forms)
    planted = delivered.road.home / "staging" / "jobs" / "planted"
    planted.parent.mkdir(parents=True, exist_ok=True)
    planted.write_bytes(forms[0])
    assert forms[0] in everything(delivered)
    planted.unlink()


def openers(copies: list[bytes], keys: set[bytes]) -> list[bytes]:
    wanted = [stanza for copy in copies for stanza in stanzas(copy)]
    return sorted(key for key in keys if any(opens(stanza, key) for stanza in wanted))


def candidates(delivered: Delivered) -> set[bytes]:
    """Every 32 bytes that might be a key: in files, in both databases, in the environment."""
    return {key for content in everything(delivered) for key in keys_in(content)}


def short_candidates(delivered: Delivered) -> set[bytes]:
    """Every 16 bytes at the places where keys are kept."""
    kept = [
        path.read_bytes()
        for folder in ("keys", "signing")
        for path in (delivered.road.home / folder).rglob("*")
        if path.is_file()
    ]
    return {content[i : i + 16] for content in kept for i in range(max(0, len(content[:MOST_BYTES]) - 15))}


def everything(delivered: Delivered) -> Iterator[bytes]:
    home = delivered.road.home
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink() and not path.is_relative_to(home / "versions"):
            yield path.read_bytes()
    yield from (value.encode() for value in {**os.environ, **delivered.road.environment}.values())
    ledger = stack.endpoints(home)
    assert ledger is not None
    yield from database(ledger.ledger_url)


def database(url: str) -> Iterator[bytes]:
    """Every value of every table."""
    tables = "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname !~ '^(pg_|information_)'"
    with psycopg.connect(url) as connection:
        for (table,) in connection.execute(tables).fetchall():
            for row in connection.execute(f"SELECT * FROM {table}").fetchall():
                yield from (value if isinstance(value, bytes) else str(value).encode() for value in row)


def keys_in(content: bytes) -> Iterator[bytes]:
    yield from (secret_of(found.decode()) for found in re.findall(rb"AGE-SECRET-KEY-1[A-Z0-9]{58}", content))
    if len(content) > MOST_BYTES:
        return
    yield from (content[i : i + 32] for i in range(len(content) - 31))
    yield from (
        bytes.fromhex(found.decode())
        for found in re.findall(rb"(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])", content)
    )
    for found in re.findall(rb"[A-Za-z0-9+/_-]{43,}", content):
        text = found[:-1] if len(found) % 4 == 1 else found
        decoded = base64.urlsafe_b64decode(text.translate(bytes.maketrans(b"+/", b"-_")) + b"=" * (-len(text) % 4))
        yield from (decoded[i : i + 32] for i in range(len(decoded) - 31))


# -- no way through our code ------------------------------------------------------------------------------------------


def test_nothing_that_an_operator_can_do_changes_what_was_archived(
    delivered: Delivered, monkeypatch: pytest.MonkeyPatch
) -> None:
    road, (first, second) = delivered.road, delivered.jobs
    before = delivered.archived
    assert {name.rpartition("/")[2] for name in before} == {
        "v1.0-init.json",
        "v1.0-init.oci.age",
        "v1.1-update.json",
        "v1.1-update.oci.age",
    }
    other = str(pyrage.x25519.Identity.generate().to_public())
    first_ways: list[tuple[str, ...]] = [
        ("package", first),
        ("rollback", CUSTOMER, "--to", "v1.1", "--to-dir", str(road.home / "sent")),
        ("archive", "verify"),
    ]
    for way in first_ways:
        road.run(*way)
    ways: list[tuple[str, ...]] = [
        ("customer", "add", CUSTOMER, "--recipient", other),
        ("package", second),
        ("rollback", CUSTOMER, "--to", "v1.0"),
        ("replay", "--from", "ingest", "--job", first),
        ("reconcile",),
        ("dlq", "redrive", "--job", first),
        ("dlq", "discard", "--job", first),
        ("cancel", first, "--yes"),
        ("sweep",),
        ("erase", first),
        ("erase", second),
        ("package", first),
    ]
    for name, value in road.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", str(road.home))  # this process is not in the other's /tmp
    ended = {way: CliRunner().invoke(app, way) for way in ways}
    assert delivered.archived == before
    unknown = [way for way, done in ended.items() if "Something failed that Cradle does not know" in done.output]
    assert unknown == []
    worked = {way[0] for way, done in ended.items() if done.exit_code == 0}
    assert worked >= {"customer", "package", "rollback", "reconcile", "sweep", "erase"}
    report = road.json("archive", "verify")
    assert (report["whole"], report["versions"], report["copies"], report["left_over"]) == (True, 2, 2, [])
    assert [one["version"] for one in road.json("versions", CUSTOMER)] == ["v1.0-init", "v1.1-update"]


async def test_staging_beside_the_archive_cannot_reach_it(delivered: Delivered) -> None:
    before = delivered.archived
    name = f"versions/{CUSTOMER}/v1.0-init.oci.age"
    async with open_staging(file_url(delivered.road.home / "staging")) as staging:
        for reaching in (f"../{name}", f"jobs/../../{name}", f"./../{name}", f"jobs/..//../{name}"):
            for call in (staging.delete(reaching), staging.write(reaching, _nothing()), staging.exists(reaching)):
                with pytest.raises(Permanent) as error:
                    await call
                assert error.value.code == "staging.name"
        await staging.delete(name)
    assert delivered.archived == before


async def _nothing() -> AsyncIterator[bytes]:
    yield b""


# -- nothing lands in /tmp: the last test, over all that was done above ------------------------------------------------


def test_nothing_landed_in_tmp(delivered: Delivered) -> None:
    assert [*delivered.watched.iterdir()] == []
    assert delivered.watched.stat().st_mtime_ns == delivered.untouched
    temporary = delivered.road.environment["TMPDIR"]
    subprocess.run(
        [*delivered.road.through, "mktemp", "--tmpdir", "seen.XXXX"],
        env={"TMPDIR": temporary, "PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
    )
    assert delivered.watched.stat().st_mtime_ns != delivered.untouched, "it would have been seen"
