import unicodedata
from collections import deque
from collections.abc import Iterator
from typing import Literal
from urllib.parse import quote

import httpx2
import pytest

from appliance import wire
from appliance.http import MOST_BODY
from tests.appliance.serving import HOSTILE, LONG, Appliance, serving, shelf
from tests.builders.corpus import book, in_order
from tests.builders.test_data_layer import write

CONTRACT = "a/contract.txt"
ODD_PATHS = ("line\nfeed.txt", "line\n", "line", "100 %#?;&+.txt", "a b/ü.txt", "\u202efdp.exe", "x" * 4000)
TEXTS = {one.document.path: one.text for one in shelf()}


def test_a_question_is_answered_with_its_passages(client: httpx2.Client) -> None:
    answer = client.get("/api/search", params={"question": "When does the contract end?", "limit": 2}).json()
    assert answer["understood"] == "lexical"  # the corpus's model is a fake one: nothing here can embed for it
    best = answer["passages"][0]
    assert (best["document"], best["page"], best["ordinal"]) == (CONTRACT, 1, 0)
    assert best["text"] == TEXTS[CONTRACT][best["start"] : best["end"]] == "The contract ends after twelve months."
    assert best["headings"] == ["Titel", "§ 0"]
    assert len(answer["passages"]) <= 2


def test_a_question_may_come_as_json(client: httpx2.Client) -> None:
    asked = {"question": "contract", "limit": 3, "document": CONTRACT}
    assert client.post("/api/search", json=asked).json() == client.get("/api/search", params=asked).json()


def test_filters_narrow_what_is_found(client: httpx2.Client) -> None:
    def found(**filters: str) -> set[str]:
        answer = client.get("/api/search", params={"question": "contract valves pump", "limit": 50, **filters})
        return {passage["document"] for passage in answer.json()["passages"]}

    assert {CONTRACT, LONG} <= found()
    assert found(document=LONG) == {LONG}
    assert found(language="en") == set()  # they say that they are German
    assert found(since="2026-01-01") == set()  # and have no date


def test_documents_are_listed_page_by_page(client: httpx2.Client) -> None:
    paths: list[str] = []
    after: dict[str, str] = {}
    while True:
        answer = client.get("/api/documents", params={"limit": 2, **after}).json()
        assert len(answer["documents"]) <= 2
        paths += [one["path"] for one in answer["documents"]]
        if answer["next"] is None:
            break
        after = {"after": answer["next"]}
    assert paths == [one.document.path for one in shelf()]


@pytest.mark.parametrize("path", sorted(TEXTS))
def test_any_document_can_be_read_whole(client: httpx2.Client, path: str) -> None:
    answer = client.get(f"/api/documents/{quote(path)}").json()
    assert answer["text"] == TEXTS[path]
    assert (answer["start"], answer["end"], answer["next"]) == (0, len(TEXTS[path]), None)
    assert answer["document"]["path"] == path
    assert answer["shown"] == [{"number": 1, "start": 0, "end": len(TEXTS[path]), "confidence": None}]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """Documents of odd paths, each with its path's place as text."""
    folder = tmp_path_factory.mktemp("odd")
    write(folder / "000", in_order([book(path, f"number {i}") for i, path in enumerate(ODD_PATHS)]))
    with serving(folder, "--open") as appliance:
        yield appliance


@pytest.mark.parametrize("number", range(len(ODD_PATHS)))
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_document_of_any_path_can_be_asked_for(odd: Appliance, number: int, form: Literal["NFC", "NFD"]) -> None:
    path = unicodedata.normalize(form, ODD_PATHS[number])
    with odd.client() as client:
        document = client.get(f"/api/documents/{quote(path)}").json()
        passages = client.get(f"/api/passages/{quote(path)}").json()
        found = client.get("/api/search", params={"question": "number", "document": path}).json()
    assert document["text"] == f"number {number}"
    assert [one["text"] for one in passages["passages"] + found["passages"]] == [f"number {number}"] * 2


def test_a_long_document_comes_in_parts_that_fit_together(client: httpx2.Client) -> None:
    text, start = "", 0
    while start is not None:
        part = client.get(f"/api/documents/{LONG}", params={"start": start, "limit": 1000}).json()
        assert len(part["text"]) <= 1000
        text, start = text + part["text"], part["next"]
    assert text == TEXTS[LONG]


def test_a_page_or_a_span_can_be_read(client: httpx2.Client) -> None:
    page = client.get(f"/api/documents/{CONTRACT}", params={"page": 1, "limit": 12}).json()
    assert (page["text"], page["next"]) == ("The contract", 12)
    span = client.get(f"/api/documents/{CONTRACT}", params={"start": 4, "end": 12}).json()
    assert (span["text"], span["next"]) == ("contract", None)


def test_the_passages_of_a_document_are_listed(client: httpx2.Client) -> None:
    ordinals: list[int] = []
    after: int | None = -1
    while after is not None:
        answer = client.get(f"/api/passages/{LONG}", params={"after": after, "limit": 120}).json()
        assert all(one["text"] == TEXTS[LONG][one["start"] : one["end"]] for one in answer["passages"])
        ordinals += [one["ordinal"] for one in answer["passages"]]
        after = answer["next"]
    assert ordinals == list(range(300))


def test_about_says_what_the_image_is_built_from(client: httpx2.Client) -> None:
    about = client.get("/api/about").json()
    assert (about["documents"], about["fingerprint"], about["understands"]) == (len(TEXTS), "f" * 64, "lexical")
    assert about["parameters"]["embedding_config"]["model"] == "fake"
    assert len(about["layers"]) == 1
    assert about["components"][0] == {"name": "numpy", "version": "2.4.1", "licence": "BSD-3-Clause"}


@pytest.mark.parametrize(
    ("path", "status", "at"),
    [
        ("/api/search", 400, "question"),
        ("/api/search?question=", 400, "question"),
        (f"/api/search?question={'x' * (wire.MOST_QUESTION + 1)}", 400, "question"),
        ("/api/search?question=x&limit=0", 400, "limit"),
        (f"/api/search?question=x&limit={wire.MOST_PASSAGES + 1}", 400, "limit"),
        ("/api/search?question=x&limit=many", 400, "limit"),
        ("/api/search?question=x&since=2026-02-31", 400, "since"),
        ("/api/search?question=x&until=yesterday", 400, "until"),
        ("/api/search?question=x&language=Klingon", 400, "language"),
        ("/api/search?question=x&colour=red", 400, "colour"),
        (f"/api/documents/{CONTRACT}?limit=0", 400, "limit"),
        (f"/api/documents/{CONTRACT}?start=9999", 400, None),
        (f"/api/documents/{CONTRACT}?start=9&end=3", 400, None),
        (f"/api/documents/{CONTRACT}?page=2", 404, None),
        ("/api/documents/none.txt", 404, None),
        ("/api/documents/..%2F..%2Fetc%2Fpasswd", 404, None),
        ("/api/documents/%00", 404, None),
        ("/api/passages/none.txt", 404, None),
        ("/api/nothing", 404, None),
    ],
)
def test_what_cannot_be_answered_is_told_as_a_problem(
    client: httpx2.Client, path: str, status: int, at: str | None
) -> None:
    answer = client.get(path)
    problem = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["type"]) == (status, status, "about:blank")
    assert problem["title"] and problem["detail"]
    assert [one["at"] for one in problem.get("errors", [])] == ([at] if at else [])


def test_other_methods_and_bodies_are_problems_too(client: httpx2.Client) -> None:
    assert client.delete("/api/about").status_code == 405
    for body in (b"", b"{", b"[]", b'"x"', b"\xff"):
        assert client.post("/api/search", content=body).status_code == 400
    too_long = client.post("/api/search", content=b" " * (MOST_BODY + 1))
    assert (too_long.status_code, too_long.headers["content-type"]) == (413, "application/problem+json")


def test_answers_are_not_to_be_stored(client: httpx2.Client) -> None:
    for path in ("/api/about", "/api/search?question=contract", "/api/documents"):
        headers = client.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"


def test_a_question_of_any_kind_is_answered(open_appliance: Appliance) -> None:
    with open_appliance.client() as client:
        odd = [
            '"',
            '""',
            "a\0b",
            "😀",
            "OR AND NOT",
            "x" * 2000,
            "'; DROP TABLE documents",
            "%",
            HOSTILE,
            '"contract ends"',
        ]
        answers = deque(client.get("/api/search", params={"question": question}) for question in odd)
    assert [answer.status_code for answer in answers] == [200] * len(odd)
    [verbatim] = answers[-1].json()["passages"]
    assert "contract ends" in verbatim["text"]


@pytest.mark.parametrize("path", ["/api/search", "/mcp"])
def test_half_a_character_is_a_mistake_and_no_failure(open_appliance: Appliance, path: str) -> None:
    call = b'{"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search", "arguments": %s}}'
    question = b'{"question": "\\ud800"}'
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    with open_appliance.client() as client:
        answer = client.post(path, content=call % question if path == "/mcp" else question, headers=headers)
    assert answer.status_code in {200, 400}
    assert "question" in answer.text or "error" in answer.text
    with open_appliance.client() as client:
        assert client.get("/healthz").status_code == 200
