from typing import Any

import httpx2
import jsonschema
import pytest
from openapi_spec_validator import validate

from appliance.tools import ROADS
from tests.appliance.serving import Appliance


@pytest.fixture(scope="module")
def told(appliance: Appliance) -> dict[str, Any]:
    """The document as the server gives it, to anybody."""
    with appliance.client() as client:
        document: dict[str, Any] = client.get("/openapi.json").json()
        return document


def test_it_is_a_valid_openapi_document_of_every_road(told: dict[str, Any]) -> None:
    validate(told)
    listed = {(method.upper(), path) for path, methods in told["paths"].items() for method in methods}
    assert listed == {(road.method, road.path) for road in ROADS}
    names = [one["operationId"] for methods in told["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("road", "path"),
    [
        ("/api/search", "/api/search?question=contract"),
        ("/api/documents", "/api/documents?limit=2"),
        ("/api/documents/{path}", "/api/documents/a/contract.txt"),
        ("/api/passages/{path}", "/api/passages/a/contract.txt"),
        ("/api/about", "/api/about"),
        ("/api/documents/{path}", "/api/documents/none"),
        ("/api/search", "/api/search?question=x&limit=0"),
    ],
)
def test_answers_are_as_it_says(told: dict[str, Any], client: httpx2.Client, road: str, path: str) -> None:
    answer = client.get(path)
    described = told["paths"][road]["get"]["responses"][str(answer.status_code)]["content"]
    schema = described[answer.headers["content-type"]]["schema"]
    jsonschema.validate(answer.json(), {**schema, "components": told["components"]})


def test_it_says_what_the_paths_and_queries_take(told: dict[str, Any]) -> None:
    read = {one["name"]: one for one in told["paths"]["/api/documents/{path}"]["get"]["parameters"]}
    assert (read["path"]["in"], read["path"]["required"]) == ("path", True)
    assert (read["page"]["in"], read["page"]["required"]) == ("query", False)
    assert told["security"] == [{"token": []}]
