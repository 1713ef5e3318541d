"""Errors as HTTP tells them: problem details of RFC 9457."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from starlette.responses import Response


class Refused(Exception):
    """A question that cannot be answered as it was asked. `status` is HTTP's; `sentence` is for the asker."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


def problem(
    status: int,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    content: dict[str, Any] = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    content["detail"] = detail
    if errors:
        content["errors"] = errors
    body = json.dumps(content, ensure_ascii=False)
    return Response(body, status, headers=headers, media_type="application/problem+json")


def mistakes(error: ValidationError) -> list[dict[str, str]]:
    """What is wrong with each field, without repeating what was sent: `{"at": "limit", "message": "..."}`."""
    return [
        {"at": ".".join(str(part) for part in one["loc"]) or "body", "message": one["msg"]}
        for one in error.errors(include_url=False, include_input=False, include_context=False)
    ]
