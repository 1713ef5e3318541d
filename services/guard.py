"""Who may ask: whoever has the service's token, where it has one."""

import hashlib
import hmac
from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from schemas.errors import Permanent
from services.problems import answer


class TokenRequired:
    """Lets requests pass only with the token, but for those to exactly the `unguarded` paths."""

    def __init__(self, app: ASGIApp, *, token: str, unguarded: Collection[str]) -> None:
        self._app = app
        self._digest = _digest(token)
        self._unguarded = frozenset(unguarded)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"] in self._unguarded or self._is_right(Headers(scope=scope)):
            return await self._app(scope, receive, send)
        return await answer(Permanent("request.token"), scope["path"])(scope, receive, send)

    def _is_right(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and hmac.compare_digest(_digest(token.strip()), self._digest)


def _digest(token: str) -> bytes:
    """Of one length, whatever was sent: comparing takes as long for every guess."""
    return hashlib.sha256(token.encode()).digest()
