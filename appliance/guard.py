"""Which web pages may ask: none but our own, so that a page on the internet cannot use a visitor's browser to do it.

A browser names the page in `Origin` and the server it believes to talk to in `Host`. With DNS rebinding a foreign page
makes the two equal, under its own name. Without a token `Host` must therefore be a name that no foreign page can have.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.problems import problem

SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Guard:
    def __init__(
        self, app: ASGIApp, hosts: Collection[str], *, any_host: bool, setting: str = "APPLIANCE_HOSTS"
    ) -> None:
        """`hosts`: names, without port, under which this server may be asked and whose pages may ask it, beside IP
        addresses and localhost. `any_host`: for a server that wants a token, which a foreign page does not have.
        `setting`: where the `hosts` are set."""
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._any_host = any_host
        self._setting = setting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        host, origin = _name(headers.get("host")), headers.get("origin")
        if not (self._any_host or self._is_ours(host)):
            answer = problem(421, f"This server does not go by that name: set {self._setting}, or ask by address.")
            return await answer(scope, receive, send)
        if origin is not None and not self._may_ask(origin, headers.get("host", "")):
            return await problem(403, "Pages of another origin may not ask.")(scope, receive, send)

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *SAFE_HEADERS]
            await send(message)

        return await self._app(scope, receive, send_safely)

    def _is_ours(self, host: str) -> bool:
        return host in self._hosts or host == "localhost" or host.endswith(".localhost") or _is_address(host)

    def _may_ask(self, origin: str, host: str) -> bool:
        try:
            server = urlsplit(origin).netloc.lower()
        except ValueError:
            return False
        return bool(server) and (server == host.lower() or _name(server) in self._hosts)


def _name(host: str | None) -> str:
    """`[::1]:8080` is `::1`, `Example.org:80` is `example.org`; nothing for what is no host."""
    try:
        return urlsplit(f"//{host or ''}").hostname or ""
    except ValueError:
        return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
