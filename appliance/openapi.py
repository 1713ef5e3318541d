"""The OpenAPI document of the plain HTTP roads, made from the models that they take and give."""

from typing import Any, Final

from pydantic.json_schema import JsonSchemaMode, models_json_schema

from appliance.tools import ROADS, Road

TITLE: Final = "Cradle appliance"
VERSION: Final = "1"
"""Of the HTTP interface."""
_REFERENCES: Final = "#/components/schemas/"
_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["at", "message"],
                "properties": {"at": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
_REFUSALS: Final = {
    "400": "The question is not as it should be.",
    "401": "The token is missing or wrong.",
    "404": "There is no such document or page.",
    "413": "The body is too long.",
    "429": "Too many wrong tokens are being tried.",
}


def document() -> dict[str, Any]:
    """OpenAPI 3.1."""
    modes: dict[Any, JsonSchemaMode] = {}
    for road in ROADS:
        modes |= {road.tool.asked: "validation", road.tool.answered: "serialization"}
    _, schemas = models_json_schema(list(modes.items()), ref_template=_REFERENCES + "{model}")
    paths: dict[str, dict[str, Any]] = {}
    for road in ROADS:
        paths.setdefault(road.path, {})[road.method.lower()] = _operation(road, schemas["$defs"])
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": VERSION, "description": "Questions about the documents of one image."},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": {**schemas["$defs"], "Problem": _PROBLEM},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(road: Road, schemas: dict[str, Any]) -> dict[str, Any]:
    asked = schemas[road.tool.asked.__name__]
    operation: dict[str, Any] = {
        "operationId": road.tool.name if road.method == "GET" else f"{road.tool.name}_by_body",
        "summary": road.tool.title,
        "description": road.tool.description,
        "responses": {"200": _json("The answer.", _reference(road.tool.answered.__name__)), **_refusals()},
    }
    if road.method == "POST":
        body = {"application/json": {"schema": _reference(road.tool.asked.__name__)}}
        operation["requestBody"] = {"required": True, "content": body}
    else:
        operation["parameters"] = [
            {
                "name": name,
                "in": "path" if f"{{{name}}}" in road.path else "query",
                "required": name in asked.get("required", ()),
                "schema": schema,
            }
            for name, schema in asked.get("properties", {}).items()
        ]
    return operation


def _refusals() -> dict[str, Any]:
    schema = _reference("Problem")
    return {
        status: {"description": sentence, "content": {"application/problem+json": {"schema": schema}}}
        for status, sentence in _REFUSALS.items()
    }


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _reference(model: str) -> dict[str, str]:
    return {"$ref": _REFERENCES + model}
