"""Names that would lead elsewhere are refused wherever one comes in: customers, versions, documents, objects."""

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError
from typer.testing import CliRunner

from cradle.commands import app
from infra.archive import Archive
from infra.archive.memory import MemoryArchive
from infra.parameters import Customer
from infra.parameters.memory import MemoryParameters
from infra.paths import CustomerPaths
from infra.staging.names import object_name
from operations.archive import inspect_archive
from operations.customers import add_customer
from operations.versions import newest, records, remember
from schemas.errors import CradleError, Permanent
from schemas.ids import CUSTOMER_ID, check_customer_id, clean_path
from schemas.messages.ingest import DocumentReference, DocumentsSubmitted, Manifest
from schemas.parameters import InstallationParameters
from schemas.versions import VersionRecord, read_version
from tests.remembered import make_record

JOB = UUID(int=7)

CUSTOMERS = {
    "nothing": "",
    "here": ".",
    "above": "..",
    "above and across": "../acme",
    "below": "acme/other",
    "below, upwards": "acme/../other",
    "absolute": "/etc",
    "Windows' way": "..\\acme",
    "a drive": "c:acme",
    "capital": "A",
    "capitals": "ACME",
    "64 letters": "a" * 64,
    "4096 letters": "a" * 4096,
    "dash first": "-acme",
    "dash last": "acme-",
    "an option": "--home",
    "underscore": "ac_me",
    "a dot": "acme.de",
    "hidden": ".acme",
    "a blank": "ac me",
    "blank before": " acme",
    "newline after": "acme\n",
    "newline within": "acme\nother",
    "carriage return": "acme\r",
    "tab": "acme\t",
    "NUL": "acme\0",
    "NUL within": "acme\0/../other",
    "delete": "acme\x7f",
    "umlaut": "müller",
    "umlaut, composed": "mu\u0308ller",
    "sharp s": "groß",
    "Cyrillic a": "\u0430cme",
    "full-width letters": "\uff41\uff43\uff4d\uff45",
    "Arabic digit": "acme\u0661",
    "full-width slash": "acme\uff0fother",
    "right to left": "acme\u202e",
    "no width": "acme\u200b",
    "not UTF-8": "acme\udcff",
    "percent": "acme%2f..",
    "twice percent": "%252e%252e",
    "tilde": "~",
    "a home": "~root",
    "star": "*",
    "a variable": "$HOME",
    "a command": "$(id)",
    "semicolon": "acme;id",
    "quote": "acme'",
    "a query": "acme?x=y",
    "a fragment": "acme#x",
}
GOOD = ["a", "0", "acme", "acme-gmbh", "a--b", "3com", "con", "nul", "versions", "a" * 63]
"""`con` is no name of a file on Windows; Cradle does not run there."""

VERSIONS = [
    "",
    ".",
    "..",
    "../v1.0-init",
    "v1.0-init/..",
    "v1.0-init/../../acme/v1.0-init",
    "/v1.0-init",
    "v1.0-init\0",
    "v1.0-init\n",
    "V1.0",
    "v1",
    "v1.0.0",
    "v0.0",
    "v01.0",
    "v1.00",
    "v-1.0",
    "v1.0-full",
    "v1.1-init",
    "v2.0-update",
    "v1.0-init.json",
    "v1.0-",
    "v1.0-../init",
    "v\u0661.0",
    "v9999999.0",
    "latest",
]

DOCUMENTS = [
    "",
    "/",
    "/etc/passwd",
    ".",
    "..",
    "a/..",
    "../a",
    "a//b",
    "a/./b",
    "a/",
    "a\0b",
    "\0",
    "a" * 4097,
    "a\udcff",
]


@pytest.mark.parametrize("customer", GOOD)
def test_what_a_customer_may_be_called(customer: str) -> None:
    assert check_customer_id(customer) == customer
    assert CustomerPaths(Path("/home"), customer).images == Path("/home/images") / customer


@pytest.fixture(params=CUSTOMERS.values(), ids=CUSTOMERS.keys())
def hostile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_such_a_customer_has_no_paths(hostile: str) -> None:
    for make in (check_customer_id, lambda customer: CustomerPaths(Path("/home"), customer)):
        with pytest.raises(Permanent) as error:
            make(hostile)
        assert error.value.code == "customer.id"
        assert len(hostile) < 3 or hostile not in str(error.value)


def test_such_a_customer_is_in_no_message_and_no_record(hostile: str) -> None:
    makes: list[Callable[[], BaseModel]] = [
        lambda: DocumentsSubmitted(customer=hostile, reference="r", manifest=Manifest(documents=1)),
        lambda: DocumentsSubmitted.model_validate_json(
            json.dumps({"customer": hostile, "reference": "r", "manifest": {"documents": 1}})
        ),
        lambda: InstallationParameters(customer_id=hostile),
        lambda: make_record(customer=hostile),
    ]
    for make in makes:
        with pytest.raises(ValidationError):
            make()


async def test_such_a_customer_has_no_versions_and_nothing_archived(hostile: str) -> None:
    archive = MemoryArchive()
    record = VersionRecord.model_construct(**make_record().model_dump() | {"customer": hostile})
    calls: list[Awaitable[object]] = [
        records(archive, hostile),
        newest(archive, hostile),
        inspect_archive(archive, hostile),
        remember(archive, record, None),
    ]
    for call in calls:
        with pytest.raises(Permanent) as error:
            await call
        assert error.value.code == "customer.id"
    for name in (f"versions/{hostile}/v1.0-init.json", f"versions/{hostile}/v1.0-init.oci.age"):
        with pytest.raises(Permanent) as error:
            await _add(archive, name)
        assert error.value.code == "archive.name"
    assert archive.objects == {}


async def test_such_a_customer_is_not_added(hostile: str) -> None:
    store = MemoryParameters()
    for call in (add_customer(hostile, store=store), store.put_customer(Customer(hostile))):
        with pytest.raises(Permanent) as error:
            await call
        assert error.value.code == "customer.id"
    assert await store.customers() == []


COMMANDS = [
    ["customer", "add", "--", "{}"],
    ["customer", "show", "--", "{}"],
    ["ingest", ".", "--customer={}"],
    ["jobs", "--customer={}"],
    ["dlq", "list", "--customer={}"],
    ["replay", "--from=ingest", "--customer={}"],
    ["versions", "--", "{}"],
    ["archive", "verify", "--", "{}"],
    ["rollback", "--to=v1.0", "--", "{}"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_takes_such_a_customer(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hostile: str
) -> None:
    """Each is refused as wrong use before it opens anything: there is no installation here."""
    monkeypatch.setenv("CRADLE_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(app, [word.replace("{}", hostile) for word in command])
    assert result.exit_code == 2, result.output
    assert "(customer.id)" in result.stderr, result.output
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("version", VERSIONS)
def test_such_a_version_is_refused(version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = CustomerPaths(Path("/home"), "acme")
    for make in (read_version, paths.package, paths.rolled_back, paths.archived):
        with pytest.raises(Permanent) as error:
            make(version)  # type: ignore[operator]
        assert error.value.code == "version.name"
    monkeypatch.setenv("CRADLE_HOME", str(tmp_path / "home"))
    result = CliRunner().invoke(app, ["rollback", "acme", f"--to={version}"])
    assert result.exit_code == 2, result.output
    assert "(version.name)" in result.stderr, result.output
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("path", DOCUMENTS)
def test_such_a_document_is_refused(path: str) -> None:
    with pytest.raises(CradleError):
        clean_path(path)
    with pytest.raises(ValidationError):
        DocumentReference(path=path, uri="file:///data/a")
    with pytest.raises(ValidationError):
        DocumentsSubmitted(customer="acme", reference="r", update=True, removed=(path if path != "a/" else "a//",))


@pytest.mark.parametrize("name", ["..", "../x", "a/../b", "", "A", "a b", "a\0", "é", "a" * 201])
def test_such_an_object_is_not_staged(name: str) -> None:
    for kind, last in ((name, "id"), ("raw", name)):
        with pytest.raises(Permanent) as error:
            object_name(JOB, kind, last)
        assert error.value.code == "staging.name"


def _all_paths(home: Path, customer: str) -> Iterator[tuple[str, Path]]:
    paths = CustomerPaths(home, customer)
    yield "images", paths.images
    yield "images", paths.image(JOB, 1)
    yield "packages", paths.package("v1.0")
    yield "packages", paths.rolled_back("v2.3")
    for name in paths.archived("v1.1"):
        yield "versions", home / name


@pytest.mark.parametrize("customer", GOOD)
def test_all_of_a_customers_paths_lie_in_its_own_folders(customer: str, tmp_path: Path) -> None:
    for folder, path in _all_paths(tmp_path, customer):
        assert path.resolve().is_relative_to(tmp_path / folder / customer)


def test_the_rule_is_the_one_that_is_told() -> None:
    assert CUSTOMER_ID == r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"


async def _add(archive: Archive, name: str) -> Any:
    async def nothing() -> Any:
        yield b""

    return await archive.add(name, nothing())
