"""What an ingest event may say."""

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.messages import DocumentsSubmitted

ABOUT = {"customer": "acme", "reference": "May"}


def read(**fields: Any) -> DocumentsSubmitted:
    return DocumentsSubmitted.model_validate({**ABOUT, **fields})


def test_an_update_may_remove_documents_and_folders() -> None:
    event = read(update=True, removed=["a.txt", "Fu\u0308hrung/", "post.zip!/a b.txt"])
    assert event.removed == ("a.txt", "Führung/", "post.zip!/a b.txt")
    closing = read(update=True, manifest={"documents": 2, "removed": 3}).manifest
    assert closing is not None
    assert closing.sources == 5


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"update": True},
        {"removed": ["a.txt"]},
        {"manifest": {"documents": 1, "removed": 1}},
        {"update": True, "removed": ["/"]},
        {"update": True, "removed": ["../a"]},
        {"update": True, "removed": ["a"] * 1025},
        {"update": True, "manifest": {"documents": 1, "removed": -1}},
    ],
)
def test_what_says_nothing_or_removes_without_updating_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read(**fields)


def test_a_manifest_of_before_removes_nothing() -> None:
    event = read(manifest={"documents": 1})
    assert event.manifest is not None
    assert (event.update, event.manifest.removed, event.manifest.sources) == (False, 0, 1)
