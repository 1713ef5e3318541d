"""Who may ask: whoever sends the token whose argon2 hash was mounted into the container."""

import asyncio
import hashlib
import hmac
from collections import deque
from collections.abc import Collection
from enum import Enum, auto
from pathlib import Path
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from appliance.problems import problem

LONGEST_TOKEN: Final = 512
WAITING_AT_MOST: Final = 8
"""Requests with an unknown token that may stand in line; the next is told to come back later."""
PAUSE_SECONDS: Final = 1.0
"""After a wrong token, before the next unknown one is looked at: one guess a second, whoever asks."""
REMEMBERED_WRONG: Final = 64
"""A client that sends the same wrong token again and again is refused at once and does not fill the line."""


class Verdict(Enum):
    RIGHT = auto()
    WRONG = auto()
    LATER = auto()


class TokenCheck:
    """Compares tokens with one argon2 hash.

    argon2 takes time and memory by design, so it runs once: the SHA-256 of the right token is remembered. That is
    safe for a token of 128 random bits or more, which is what packages hold.
    """

    def __init__(self, encoded: str, *, pause: float = PAUSE_SECONDS) -> None:
        """`encoded` as argon2 writes it: `$argon2id$v=19$...`. Raises ValueError if it is something else."""
        from argon2 import extract_parameters
        from argon2.exceptions import InvalidHashError

        try:
            extract_parameters(encoded)
        except InvalidHashError as error:
            raise ValueError("the token file does not hold an argon2 hash") from error
        self._encoded = encoded
        self._pause = pause
        self._right: bytes | None = None
        self._wrong: deque[bytes] = deque(maxlen=REMEMBERED_WRONG)
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0

    async def check(self, token: str) -> Verdict:
        if len(token) > LONGEST_TOKEN:
            return Verdict.WRONG
        digest = hashlib.sha256(token.encode()).digest()
        if known := self._known(digest):
            return known
        if self._waiting >= WAITING_AT_MOST:
            return Verdict.LATER
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                return self._known(digest) or await self._verify(token, digest)
        finally:
            self._waiting -= 1

    def _known(self, digest: bytes) -> Verdict | None:
        if self._right is not None and hmac.compare_digest(digest, self._right):
            return Verdict.RIGHT
        return Verdict.WRONG if digest in self._wrong else None

    async def _verify(self, token: str, digest: bytes) -> Verdict:
        if await asyncio.to_thread(_matches, self._encoded, token):
            self._right = digest
            return Verdict.RIGHT
        await asyncio.sleep(self._pause)
        self._wrong.append(digest)
        return Verdict.WRONG


def read_token_file(path: Path) -> TokenCheck:
    """Raises OSError where it cannot be read, ValueError where it holds no hash."""
    return TokenCheck(path.read_text("ascii", errors="replace").strip())


class TokenRequired:
    """Lets requests pass only with the token, but for those to exactly the `unguarded` paths.

    What is open is named, not what is closed: a path that a router reads more kindly than this does (`/mcp%0A` as
    `/mcp`) is then refused.
    """

    def __init__(self, app: ASGIApp, check: TokenCheck, unguarded: Collection[str]) -> None:
        self._app, self._check, self._unguarded = app, check, frozenset(unguarded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in self._unguarded:
            return await self._app(scope, receive, send)
        verdict = await self._check.check(token) if (token := _bearer(scope)) else Verdict.WRONG
        if verdict is Verdict.RIGHT:
            return await self._app(scope, receive, send)
        return await _REFUSED[verdict](scope, receive, send)


_REFUSED: Final = {
    Verdict.WRONG: problem(
        401,
        "Send the token of your package: `Authorization: Bearer TOKEN`.",
        headers={"WWW-Authenticate": 'Bearer realm="appliance"'},
    ),
    Verdict.LATER: problem(429, "Too many wrong tokens are being tried.", headers={"Retry-After": "5"}),
}


def _bearer(scope: Scope) -> str | None:
    sent = [value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"]
    scheme, _, token = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _matches(encoded: str, token: str) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import VerificationError

    try:
        return PasswordHasher().verify(encoded, token)
    except VerificationError:
        return False
