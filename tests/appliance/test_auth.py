import asyncio
import time

import pytest
from argon2 import PasswordHasher

from appliance import auth
from appliance.auth import TokenCheck, Verdict
from tests.appliance.serving import TOKEN, Appliance

HASH = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("right")


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that argon2 was asked about."""
    asked: list[str] = []
    matches = auth._matches

    def counting(encoded: str, token: str) -> bool:
        asked.append(token)
        return matches(encoded, token)

    monkeypatch.setattr(auth, "_matches", counting)
    return asked


async def test_argon2_is_asked_once_about_the_right_token(verified: list[str]) -> None:
    check = TokenCheck(HASH)
    answers = await asyncio.gather(*(check.check("right") for _ in range(5)))
    assert answers == [Verdict.RIGHT] * 5
    assert verified == ["right"]


async def test_the_same_wrong_token_is_looked_at_once(verified: list[str]) -> None:
    check = TokenCheck(HASH, pause=0)
    assert [await check.check("wrong") for _ in range(3)] == [Verdict.WRONG] * 3
    assert verified == ["wrong"]
    assert await check.check("right") is Verdict.RIGHT


async def test_wrong_tokens_are_looked_at_one_after_the_other_and_slowly() -> None:
    check = TokenCheck(HASH, pause=0.05)
    begun = time.monotonic()
    answers = await asyncio.gather(*(check.check(f"wrong {i}") for i in range(4)))
    assert answers == [Verdict.WRONG] * 4
    assert time.monotonic() - begun >= 4 * 0.05


async def test_a_crowd_of_wrong_tokens_is_told_to_come_later_but_the_right_one_is_not() -> None:
    check = TokenCheck(HASH, pause=0.01)
    assert await check.check("right") is Verdict.RIGHT
    crowd = asyncio.gather(*(check.check(f"wrong {i}") for i in range(40)))
    assert await check.check("right") is Verdict.RIGHT
    answers = await crowd
    assert answers.count(Verdict.WRONG) == auth.WAITING_AT_MOST
    assert answers.count(Verdict.LATER) == 40 - auth.WAITING_AT_MOST


async def test_a_token_of_any_length_or_alphabet_is_only_wrong(verified: list[str]) -> None:
    check = TokenCheck(HASH, pause=0)
    assert await check.check("x" * 100_000) is Verdict.WRONG
    assert verified == []
    assert await check.check("ü\0😀") is Verdict.WRONG


@pytest.mark.parametrize("content", ["", "right", "$argon2id$", "$2b$12$abcdefghijklmnopqrstuv"])
def test_what_is_no_argon2_hash_is_refused(content: str) -> None:
    with pytest.raises(ValueError, match="argon2"):
        TokenCheck(content)


PATHS = ("/api/about", "/api/search?question=x", "/api/nothing", "/mcp", "/mcp/")
ODD_PATHS = (
    "/mcp%0A",
    "/mcp%0A/",
    "/%6Dcp",
    "//api/about",
    "/api%2Fabout",
    "/api/about%0A",
    "/API/about",
    "/%0A",
    "/healthz%0A",
)


@pytest.mark.parametrize("path", [*PATHS, *ODD_PATHS])
@pytest.mark.parametrize("header", [None, "Bearer", "Bearer  x", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"])
def test_without_the_token_nothing_is_told(appliance: Appliance, path: str, header: str | None) -> None:
    with appliance.client() as client:
        answer = client.get(path, headers={"Authorization": header} if header else {})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="appliance"'
    assert answer.json()["title"] == "Unauthorized"


@pytest.mark.parametrize("path", ["/healthz", "/", "/openapi.json"])
def test_what_holds_nothing_of_the_documents_is_open(appliance: Appliance, path: str) -> None:
    with appliance.client() as client:
        assert client.get(path).status_code == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [*PATHS, *ODD_PATHS])
def test_no_method_goes_round_the_token(appliance: Appliance, method: str, path: str) -> None:
    with appliance.client() as client:
        assert client.request(method, path).status_code == 401
