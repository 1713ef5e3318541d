"""Derived ids: stable for ever, so known answers are pinned here. A change of one makes every id new."""

from uuid import UUID

import pytest
from hypothesis import given

from schemas.errors import Permanent
from schemas.ids import (
    check_customer_id,
    clean_path,
    clean_removal,
    clear_message_id,
    document_id,
    job_id,
    message_id,
    removal_id,
)
from tests.schemas.strategies import CUSTOMERS, PATHS

JOB = UUID("00000000-0000-0000-0000-000000000001")
SOURCE = UUID("00000000-0000-0000-0000-000000000002")


def test_known_answers() -> None:
    assert str(job_id("acme", "2026-03")) == "a1b2b985-2641-5561-a0a2-aba9f693f36e"
    assert document_id(bytes(range(32)), "a/b.pdf", "ab" * 32) == "cf73e5da603ed5fe52ef0e6dcda5e28a"
    assert removal_id(bytes(range(32)), "a/b.pdf") == "52b20510774a1e0ed702dca70a742bf9"
    assert str(message_id(JOB, "chunk", SOURCE, 7)) == "6d5ed739-3029-5097-a78e-8e52053a41a6"
    assert str(clear_message_id(b'{"customer":"acme"}')) == "3428c362-427e-57f2-a437-08f8247dbac2"


def test_every_part_of_an_id_counts() -> None:
    messages = [
        message_id(JOB, "chunk", SOURCE, 0),
        message_id(SOURCE, "chunk", SOURCE, 0),
        message_id(JOB, "embed", SOURCE, 0),
        message_id(JOB, "chunk", JOB, 0),
        message_id(JOB, "chunk", SOURCE, 1),
    ]
    assert len(set(messages)) == len(messages)
    documents = [
        document_id(key, path, sha256)
        for key in (bytes(32), b"\1" * 32)
        for path in ("a", "b")
        for sha256 in ("0" * 64, "1" * 64)
    ]
    assert len(set(documents)) == len(documents)


def test_parts_cannot_run_into_each_other() -> None:
    assert job_id("a", "b-c") != job_id("a-b", "c")
    assert message_id(JOB, "chunk", SOURCE, 11) != message_id(JOB, "chunk1", SOURCE, 1)
    assert document_id(bytes(32), "a", "b" * 64) != document_id(bytes(32), "ab", "b" * 63)


@given(CUSTOMERS)
def test_a_customer_id_is_a_dns_label(customer: str) -> None:
    assert check_customer_id(customer) == customer


@pytest.mark.parametrize("customer", ["", "-a", "a-", "A", "a_b", "a.b", "../a", "a\n", "ä", "a" * 64, "\ud800"])
def test_other_customer_ids_are_refused(customer: str) -> None:
    with pytest.raises(Permanent) as error:
        check_customer_id(customer)
    assert error.value.code == "customer.id"


@given(PATHS)
def test_a_clean_path_stays_and_is_nfc(path: str) -> None:
    cleaned = clean_path(path)
    assert clean_path(cleaned) == cleaned


def test_a_path_is_normalised() -> None:
    assert clean_path("Fu\u0308hrung/Bericht.pdf") == "Führung/Bericht.pdf"
    assert clean_path("post.zip!/a b.txt") == "post.zip!/a b.txt"


@pytest.mark.parametrize(
    "path", ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "./a", "a\0b", "a" * 4097, "ü" * 2049, "\udcff.pdf"]
)
def test_an_unclean_path_is_refused_without_being_told(path: str) -> None:
    with pytest.raises(Permanent) as error:
        clean_path(path)
    assert error.value.code == "source.path"
    assert str(error.value) == "The document's path is not a clean relative path."


@given(PATHS)
def test_what_is_removed_is_a_clean_path_or_a_folder(path: str) -> None:
    assert clean_removal(path) == clean_path(path)
    assert clean_removal(path + "/") == clean_path(path) + "/"


@pytest.mark.parametrize("path", ["", "/", "//", "a//", "/a/", "../a/", "a/./", "a\0/"])
def test_an_unclean_removal_is_refused(path: str) -> None:
    with pytest.raises(Permanent) as caught:
        clean_removal(path)
    assert caught.value.code == "source.path"


def test_a_removal_is_no_document_and_a_folder_no_file() -> None:
    key = bytes(32)
    assert (
        len({removal_id(key, "a"), removal_id(key, "a/"), document_id(key, "a", ""), removal_id(b"1" * 32, "a")}) == 4
    )
