"""Committed JSON Schemas: today's models agree with the newest, and would fail no message of an earlier one."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given

from schemas.json_schemas import FOLDER, breaks, current, read_history, refusals, stale, write
from schemas.messages import TYPES, EmbeddingsMade, Message
from tests.schemas.strategies import MESSAGES

BASE: dict[str, Any] = {
    "type": "object",
    "title": "Base",
    "required": ["id", "kind", "inner"],
    "properties": {
        "id": {"type": "string", "pattern": "^a", "minLength": 1, "maxLength": 9},
        "kind": {"enum": ["x", "y"], "type": "string"},
        "count": {"type": "integer", "minimum": 0, "maximum": 10, "default": 0},
        "title": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "data": {"type": "string", "format": "binary"},
        "items": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 5},
        "shape": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "integer"}], "minItems": 2},
        "inner": {"$ref": "#/$defs/Inner"},
    },
    "$defs": {
        "Inner": {
            "type": "object",
            "required": ["a"],
            "properties": {"a": {"type": "number"}, "again": {"anyOf": [{"$ref": "#/$defs/Inner"}, {"type": "null"}]}},
        }
    },
}
GONE = object()
TODAY = current()


def changed(path: str, value: object) -> dict[str, Any]:
    """BASE with one place set, or taken away."""
    schema: dict[str, Any] = json.loads(json.dumps(BASE))
    *parents, last = path.split("/")
    place: Any = schema
    for name in parents:
        place = place[int(name)] if isinstance(place, list) else place[name]
    if value is GONE:
        del place[last]
    else:
        place[int(last) if isinstance(place, list) else last] = value
    return schema


BREAKING: list[tuple[str, object, str]] = [
    ("properties/id", GONE, "message.id: is gone"),
    ("properties/title", GONE, "message.title: is gone"),
    ("required", ["id", "kind", "inner", "count"], "message.count: is required now"),
    ("properties/id/type", "integer", "message.id: was string, is integer"),
    ("properties/id/pattern", "^b", "message.id: pattern was ^a, is ^b"),
    ("properties/count/minimum", 1, "message.count: minimum was 0, is 1"),
    ("properties/count/maximum", 9, "message.count: maximum was 10, is 9"),
    ("properties/count/exclusiveMinimum", 0, "message.count: exclusiveMinimum was free, is 0"),
    ("properties/count/multipleOf", 2, "message.count: multipleOf was free, is 2"),
    ("properties/count/default", 1, "message.count: has another default"),
    ("properties/id/minLength", 2, "message.id: minLength was 1, is 2"),
    ("properties/id/maxLength", 8, "message.id: maxLength was 9, is 8"),
    ("properties/kind/enum", ["x"], "message.kind: takes 'y' no more"),
    ("properties/kind", {"const": "x", "type": "string"}, "message.kind: takes 'y' no more"),
    ("properties/id/enum", ["a"], "message.id: takes only ['a'] now"),
    ("properties/title", {"type": "string"}, "message.title: was null, is string"),
    ("properties/title/anyOf/0", {"type": "string", "maxLength": 3}, "message.title: maxLength was free, is 3"),
    ("properties/data/format", GONE, "message.data: format was binary, is free"),
    ("properties/id/format", "uuid", "message.id: format was free, is uuid"),
    ("properties/items/minItems", 2, "message.items: minItems was 1, is 2"),
    ("properties/items/maxItems", 4, "message.items: maxItems was 5, is 4"),
    ("properties/items/items", {"type": "string"}, "message.items[]: was integer, is string"),
    ("properties/shape/prefixItems", [{"type": "integer"}], "message.shape: had 2 fixed items, has 1"),
    ("properties/shape/prefixItems/1", {"type": "integer", "minimum": 1}, "message.shape[1]: minimum was free, is 1"),
    ("$defs/Inner/required", ["a", "again"], "message.inner.again: is required now"),
    ("$defs/Inner/properties/a", {"type": "integer"}, "message.inner.a: was number, is integer"),
    ("$defs/Inner/properties", {}, "message.inner.a: is gone"),
    ("additionalProperties", False, "message: takes no further fields now"),
]  # fmt: skip
COMPATIBLE: list[tuple[str, object]] = [
    ("title", "Other"),
    ("description", "prose"),
    ("properties/id/description", "prose"),
    ("properties/more", {"type": "string", "default": ""}),
    ("required", ["id", "kind"]),
    ("properties/id/pattern", GONE),
    ("properties/id/minLength", 0),
    ("properties/id/maxLength", GONE),
    ("properties/count/minimum", -1),
    ("properties/count/maximum", 11),
    ("properties/count/type", "number"),
    ("properties/kind/enum", ["y", "x", "z"]),
    ("properties/kind/enum", GONE),
    ("properties/id", {"anyOf": [{"type": "null"}, BASE["properties"]["id"]]}),
    ("properties/items/maxItems", 50),
    ("properties/items/items", {"type": "number"}),
    ("properties/items/items", {}),
    ("$defs/Inner/required", []),
]


@pytest.mark.parametrize(("path", "value", "what"), BREAKING)
def test_a_change_that_an_old_message_would_fail_is_named(path: str, value: object, what: str) -> None:
    assert what in breaks(BASE, changed(path, value))


@pytest.mark.parametrize(("path", "value"), COMPATIBLE)
def test_a_change_that_harms_no_old_message_passes(path: str, value: object) -> None:
    assert breaks(BASE, changed(path, value)) == []


def test_a_renamed_required_field_is_named_twice() -> None:
    schema = changed("properties/id", GONE)
    schema["properties"]["name"] = BASE["properties"]["id"]
    schema["required"] = ["name", "kind", "inner"]
    assert breaks(BASE, schema) == ["message.id: is gone", "message.name: is required now"]


def test_a_definition_may_be_renamed_or_written_out() -> None:
    renamed = json.loads(json.dumps(BASE).replace("Inner", "Other"))
    assert breaks(BASE, renamed) == []
    inner = {"type": "object", "required": ["a"], "properties": {"a": {"type": "number"}}}
    assert breaks({"properties": {"inner": BASE["properties"]["inner"]}, "$defs": {"Inner": inner}, "type": "object"},
                  {"properties": {"inner": inner}, "type": "object"}) == []  # fmt: skip


def test_the_committed_schemas_are_todays_and_break_none_before_them() -> None:
    history, today = read_history(FOLDER), current()
    assert stale(history, today) == [], "run `python -m schemas.json_schemas`"
    assert refusals(history, today) == []
    assert set(history) == set(TYPES)


def test_a_message_type_that_is_gone_is_refused() -> None:
    assert refusals({"cradle.old.v1": [BASE]}, {}) == ["cradle.old.v1: there is no such message any more"]


def test_a_break_against_any_earlier_revision_is_refused() -> None:
    narrowed = changed("properties/count/maximum", 5)
    history = {"t": [narrowed, BASE]}
    assert refusals(history, {"t": BASE}) == []
    assert refusals(history, {"t": changed("properties/count/maximum", 7)}) == [
        "t: breaks revision 2: message.count: maximum was 10, is 7"
    ]


def test_a_new_shape_is_a_new_revision_and_new_prose_is_not(tmp_path: Path) -> None:
    def settle(schema: dict[str, Any]) -> list[dict[str, Any]]:
        write(tmp_path, read_history(tmp_path), {"t": schema})
        assert stale(read_history(tmp_path), {"t": schema}) == []
        return read_history(tmp_path)["t"]

    assert settle(BASE) == [BASE]
    reworded = changed("description", "prose")
    assert settle(reworded) == [reworded]
    wider = changed("properties/more", {"type": "string"})
    assert settle(wider) == [reworded, wider]
    a_title = changed("properties/title/default", "x")  # a property of that name is no prose
    assert len(settle(a_title)) == 3


def test_history_keeps_the_order_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    for number in (10, 9, 1, 2):
        (tmp_path / "t" / f"{number}.json").write_text(f'{{"n": {number}}}')
    assert [schema["n"] for schema in read_history(tmp_path)["t"]] == [1, 2, 9, 10]


@given(MESSAGES)
def test_every_message_is_valid_under_its_schema(message: Message) -> None:
    if not isinstance(message, EmbeddingsMade):  # raw bytes have no JSON form
        content = json.loads(json.dumps(message.model_dump(mode="json")))
        jsonschema.validate(content, TODAY[message.TYPE], jsonschema.Draft202012Validator)


@pytest.mark.parametrize("type_", TYPES)
def test_every_schema_is_a_schema(type_: str) -> None:
    jsonschema.Draft202012Validator.check_schema(current()[type_])
