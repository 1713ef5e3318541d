"""The page at `/`: one file with no asset beside it, which a browser runs under a strict policy."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FILE: Final = Path(__file__).with_name("page.html")


def page() -> Route:
    content = FILE.read_text("utf-8")
    headers = {"Content-Security-Policy": policy(content), "Cache-Control": "no-cache"}

    async def show(_: Request) -> Response:
        return Response(content, media_type="text/html", headers=headers)

    return Route("/", show)


def policy(content: str) -> str:
    """Only the page's own script and style run, only our own server is asked, and nobody may frame the page."""
    script, style = (_hash(content, element) for element in ("script", "style"))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    )


def _hash(content: str, element: str) -> str:
    [inside] = re.findall(f"<{element}>(.*?)</{element}>", content, re.DOTALL)
    return "sha256-" + base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
