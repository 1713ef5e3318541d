from uuid import UUID

import pytest

from consumers.admit.core import (
    COST_OF_NESTING,
    COST_OF_REFUSAL,
    Allowance,
    check_route,
    is_document,
    member_path,
    root_above,
    staged_name,
    told_path,
)
from engines.extraction import Probe
from engines.extraction.limits import ALWAYS_BYTES, MOST_BYTES, MOST_MEMBERS
from schemas.errors import Permanent
from schemas.ids import clean_path, document_id
from schemas.messages import DocumentReference

JOB, KEY = UUID(int=1), b"k" * 32
ROOTS = ("file:///data/acme/", "s3://bucket/acme/", "file:///data/m%C3%BCller/")


@pytest.mark.parametrize(
    ("uri", "root"),
    [
        ("file:///data/acme/a.txt", ROOTS[0]),
        ("file:///data/acme/deep/a%20b.txt", ROOTS[0]),
        ("file:///data/acme/..hidden", ROOTS[0]),
        ("file:///data/müller/a.txt", ROOTS[2]),
        ("s3://bucket/acme/a.txt", ROOTS[1]),
        ("s3://bucket/acme//a#b?.txt", ROOTS[1]),
    ],
)
def test_an_object_under_a_root_is_allowed(uri: str, root: str) -> None:
    assert root_above(uri, ROOTS) == root


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("file:///data/globex/a.txt", "source.root"),
        ("file:///data/acmenot/a.txt", "source.root"),
        ("file:///data/acme", "source.root"),
        ("file:///data/acme/../globex/a.txt", "source.root"),
        ("file:///data/acme/%2e%2e/globex/a.txt", "source.root"),
        ("file:///data/acme/%2E./globex/a.txt", "source.root"),
        ("file:///data/acme/..%2Fglobex/a.txt", "source.root"),
        ("file://elsewhere/data/acme/a.txt", "source.root"),
        ("s3://other/acme/a.txt", "source.root"),
        ("s3://bucket/globex/a.txt", "source.root"),
        ("s3://bucket/acme/../globex/a.txt", "source.root"),
        ("s3://bucket/acme%2Fa.txt", "source.root"),
        ("S3://bucket/acme/a.txt", "source.scheme"),
        ("file:/data/acme/a.txt", "source.scheme"),
        ("https://host/data/acme/a.txt", "source.scheme"),
        ("/data/acme/a.txt", "source.scheme"),
    ],
)
def test_an_object_outside_every_root_is_refused_without_telling_where(uri: str, code: str) -> None:
    with pytest.raises(Permanent) as caught:
        root_above(uri, ROOTS)
    assert caught.value.code == code
    assert "acme" not in caught.value.sentence
    assert "globex" not in caught.value.sentence


def staged(path: str, sha256: str | None, job: UUID = JOB, document: str | None = None) -> DocumentReference:
    name = document or document_id(KEY, path, sha256 or "")
    return DocumentReference(path=path, uri=f"staged:jobs/{job}/raw/{name}", sha256=sha256)


def test_the_one_staged_name_of_a_document_is_its_own() -> None:
    name = staged_name(staged("a.txt", "0" * 64), JOB, KEY)
    assert name == f"jobs/{JOB}/raw/{document_id(KEY, 'a.txt', '0' * 64)}"


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        (staged("a.txt", None), "source.digest"),
        (staged("a.txt", "0" * 64, job=UUID(int=2)), "source.root"),
        (staged("a.txt", "0" * 64, document=document_id(KEY, "b.txt", "0" * 64)), "source.root"),
        (staged("a.txt", "0" * 64, document="../../../other"), "source.root"),
    ],
)
def test_no_other_staged_name_is_read(reference: DocumentReference, code: str) -> None:
    with pytest.raises(Permanent) as caught:
        staged_name(reference, JOB, KEY)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("route", "code"),
    [
        ("text", None),
        ("mail", None),
        ("archive", None),
        ("ocr", None),
        ("encrypted", "document.encrypted"),
        ("unsupported", "document.type"),
    ],
)
def test_what_the_flow_cannot_work_on_is_refused(route: str, code: str | None) -> None:
    probe = Probe("a/type", route)
    if code is None:
        return check_route(probe)
    with pytest.raises(Permanent) as caught:
        check_route(probe)
    assert caught.value.code == code
    return None


@pytest.mark.parametrize(
    ("member", "counts"),
    [
        ("a.txt", True),
        ("deep/a.b.txt", True),
        (".DS_Store", False),
        ("__MACOSX/._a.txt", False),
        ("deep/.git/config", False),
    ],
)
def test_hidden_members_are_no_documents(member: str, counts: bool) -> None:
    assert is_document(member) is counts


def test_a_members_path_names_its_archive() -> None:
    assert member_path("deep/a.zip", "b/c.txt") == "deep/a.zip!/b/c.txt"
    assert member_path("deep/plan.csv.gz", "") == "deep/plan.csv.gz!/plan.csv"
    assert told_path("a.zip", "b.txt") == "a.zip!/b.txt"


def test_a_members_name_is_shortened_to_fit_beside_its_archives() -> None:
    long, other = (member_path("a" * 3500, "b" * 700 + end) for end in ("1.txt", "2.txt"))
    assert len(long) == len(other) == 4096
    assert long != other
    assert long.endswith(".txt")
    for path in (long, other, told_path("a" * 4090, "b")):
        assert clean_path(path) == path
    with pytest.raises(Permanent) as caught:
        member_path("a" * 4050, "b")
    assert caught.value.code == "source.path"


def test_an_allowance_is_for_all_that_lies_in_one_document() -> None:
    allowance = Allowance()
    allowance.begin(1)
    allowance.open(depth=0)
    for _ in range(5):
        allowance.open(depth=1)
    for _ in range(MOST_MEMBERS - 5 * COST_OF_NESTING):
        allowance.spend(b"")
    with pytest.raises(Permanent) as caught:
        allowance.spend(b"")
    assert caught.value.code == "document.costly"


def test_a_bomb_uses_some_of_the_allowance_and_another_refusal_none() -> None:
    allowance = Allowance()
    allowance.begin(0)
    allowance.begin(MOST_BYTES)  # what lies within is no reason for more
    for _ in range(ALWAYS_BYTES // COST_OF_REFUSAL):
        allowance.charge(Permanent("document.encrypted", kind="a PDF"))
        allowance.spend(b"")
        allowance.charge(Permanent("document.crash", kind="a picture"))
    with pytest.raises(Permanent) as caught:
        allowance.spend(b"1")
    assert caught.value.code == "document.costly"
