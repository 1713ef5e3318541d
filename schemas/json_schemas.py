"""The JSON Schema of every message, and what a change of one would break.

schemas/json/<type>/<n>.json is the n-th compatible revision of a message's schema; the highest n is today's. Old
records lie in Kafka for days, so today's model must take whatever an earlier revision took.

    python -m schemas.json_schemas          writes what has changed; refuses what would break an old message
    python -m schemas.json_schemas --check  writes nothing; fails if anything would be written
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from schemas.messages import TYPES

FOLDER: Final = Path(__file__).parent / "json"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema = Mapping[str, Any]
History = Mapping[str, Sequence[Schema]]
"""The committed revisions of each type, the oldest first."""

_PROSE: Final = frozenset({"$id", "$schema", "description", "examples", "title"})
_BY_NAME: Final = frozenset({"$defs", "properties"})
_LOWER_BOUNDS: Final = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER_BOUNDS: Final = ("maximum", "exclusiveMaximum", "maxLength", "maxItems")
_COMPARED: Final = frozenset(
    {"$defs", "$ref", "additionalProperties", "anyOf", "const", "default", "enum", "items", "prefixItems", "properties"}
) | {"required", "type", *_LOWER_BOUNDS, *_UPPER_BOUNDS}


def current() -> dict[str, dict[str, Any]]:
    """Today's schema of each message type."""
    return {
        type_: {"$schema": DIALECT, "$id": f"urn:cradle:{type_}", **model.model_json_schema()}
        for type_, model in TYPES.items()
    }


def breaks(old: Schema, new: Schema) -> list[str]:
    """Every way in which a message valid under `old` may be refused or misread under `new`; none: compatible.

    Errs on the side of breaking: a keyword it does not know must not appear or change. A field that is gone breaks as
    well, since what old messages say there would be dropped in silence.
    """
    return _Comparison(old, new).breaks(old, new, "message")


def refusals(history: History, today: Mapping[str, Schema]) -> list[str]:
    """Why today's models would fail a message of any earlier revision."""
    found = [f"{type_}: there is no such message any more" for type_ in history if type_ not in today]
    for type_ in today:
        for number, revision in enumerate(history.get(type_, ()), start=1):
            found += [f"{type_}: breaks revision {number}: {what}" for what in breaks(revision, today[type_])]
    return found


def stale(history: History, today: Mapping[str, Schema]) -> list[str]:
    """The types whose newest committed revision is not today's schema."""
    return [type_ for type_, schema in today.items() if [*history.get(type_, ())][-1:] != [schema]]


def read_history(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """What is committed under `folder`; nothing if there is none."""
    return {
        of_type.name: [json.loads(file.read_text("utf-8")) for file in sorted(of_type.glob("*.json"), key=_number)]
        for of_type in sorted(folder.glob("*"))
    }


def write(folder: Path, history: History, today: Mapping[str, Schema]) -> None:
    """A further revision of each stale type; where only descriptions changed, the newest one again."""
    for type_ in stale(history, today):
        revisions = history.get(type_, ())
        same_shape = bool(revisions) and _shape(revisions[-1]) == _shape(today[type_])
        file = folder / type_ / f"{len(revisions) + (not same_shape)}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(today[type_], indent=2, ensure_ascii=False) + "\n", "utf-8")


def main(arguments: Sequence[str]) -> int:
    history, today = read_history(FOLDER), current()
    refused = refusals(history, today)
    if refused:
        print(*refused, "Keep the field as it was, or make a new message type.", sep="\n", file=sys.stderr)
    elif "--check" not in arguments:
        write(FOLDER, history, today)
    elif stale(history, today):
        print(*stale(history, today), "Run `python -m schemas.json_schemas`.", sep="\n", file=sys.stderr)
        return 1
    return int(bool(refused))


def _number(file: Path) -> int:
    return int(file.stem)


def _shape(schema: Any) -> Any:
    """`schema` without its prose. A property may itself be called `title`, so properties are entered by name."""
    if isinstance(schema, Mapping):
        return {
            key: {name: _shape(inner) for name, inner in value.items()} if key in _BY_NAME else _shape(value)
            for key, value in schema.items()
            if key not in _PROSE
        }
    return [_shape(inner) for inner in schema] if isinstance(schema, list) else schema


class _Comparison:
    """Walks an old and a new schema side by side. `where` is the path to the place at hand, for the reader."""

    def __init__(self, old: Schema, new: Schema) -> None:
        self._old_definitions: Schema = old.get("$defs", {})
        self._new_definitions: Schema = new.get("$defs", {})
        self._entered: set[tuple[str, str]] = set()  # pairs of definitions: a message may contain its own kind

    def breaks(self, old: Schema, new: Schema, where: str) -> list[str]:
        pair = (old.get("$ref", ""), new.get("$ref", ""))
        if all(pair):
            if pair in self._entered:
                return []
            self._entered.add(pair)
        old, new = _resolved(old, self._old_definitions), _resolved(new, self._new_definitions)
        found: list[str] = []
        choices = new.get("anyOf", [new])
        for choice in old.get("anyOf", [old]):
            nearest: list[str] = min((self._alike(choice, other, where) for other in choices), key=len)
            found += nearest
        return found

    def _alike(self, old: Schema, new: Schema, where: str) -> list[str]:
        if "$ref" in old or "$ref" in new:
            return self.breaks(old, new, where)
        if set(new) <= _PROSE:  # anything goes
            return []
        if not _types(old) <= _types(new):
            return [f"{where}: was {_named(old)}, is {_named(new)}"]
        return [
            *_narrowed_values(old, new, where),
            *_narrowed_bounds(old, new, where),
            *_changed_keywords(old, new, where),
            *self._properties(old, new, where),
            *self._items(old, new, where),
        ]

    def _properties(self, old: Schema, new: Schema, where: str) -> list[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        were, are = set(old.get("required", ())), set(new.get("required", ()))
        found = [f"{where}.{name}: is gone" for name in before if name not in after]
        for name, schema in after.items():
            place = f"{where}.{name}"
            if name in are - were:
                found.append(f"{place}: is required now")
            if name in before:
                found += self.breaks(before[name], schema, place)
                if name not in were and before[name].get("default") != schema.get("default"):
                    found.append(f"{place}: has another default")
        if new.get("additionalProperties", True) is False and old.get("additionalProperties", True) is not False:
            found.append(f"{where}: takes no further fields now")
        return found

    def _items(self, old: Schema, new: Schema, where: str) -> list[str]:
        before, after = old.get("prefixItems", []), new.get("prefixItems", [])
        if len(before) != len(after):
            return [f"{where}: had {len(before)} fixed items, has {len(after)}"]
        found = [
            what
            for i, pair in enumerate(zip(before, after, strict=True))
            for what in self.breaks(*pair, f"{where}[{i}]")
        ]
        return found + self.breaks(old.get("items", {}), new.get("items", {}), f"{where}[]")


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    """The definition that `schema` points at; what stands beside a pointer is prose."""
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    return schema


def _types(schema: Schema) -> set[str]:
    """The JSON types it takes; a whole number is a number too."""
    types = {schema["type"]} if "type" in schema else {type(value).__name__ for value in _values(schema) or ()}
    return types | {"number", "integer"} if "number" in types else types


def _named(schema: Schema) -> str:
    return str(schema.get("type") or _values(schema) or "anything")


def _values(schema: Schema) -> list[Any] | None:
    """The only values it takes, if it lists them."""
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _narrowed_values(old: Schema, new: Schema, where: str) -> list[str]:
    before, after = _values(old), _values(new)
    if after is None:
        return []
    if before is None:
        return [f"{where}: takes only {after} now"]
    return [f"{where}: takes {value!r} no more" for value in before if value not in after]


def _narrowed_bounds(old: Schema, new: Schema, where: str) -> list[str]:
    def tighter(bound: str) -> bool:
        if bound not in new:
            return False
        if bound not in old:
            return True
        return bool(new[bound] > old[bound] if bound in _LOWER_BOUNDS else new[bound] < old[bound])

    return [
        f"{where}: {bound} was {old.get(bound, 'free')}, is {new[bound]}"
        for bound in (*_LOWER_BOUNDS, *_UPPER_BOUNDS)
        if tighter(bound)
    ]


def _changed_keywords(old: Schema, new: Schema, where: str) -> list[str]:
    """Pattern, format and whatever else: such a rule may go, but neither come nor change. `format` may not go either:
    with `binary` it tells bytes from text."""
    rules = {key for key in new if key not in _COMPARED | _PROSE} | ({"format"} & set(old))
    return [
        f"{where}: {rule} was {old.get(rule, 'free')}, is {new.get(rule, 'free')}"
        for rule in sorted(rules)
        if old.get(rule) != new.get(rule)
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
