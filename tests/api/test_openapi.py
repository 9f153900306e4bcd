"""The API's description: complete, of one mind with itself, and true (`check_answer` in conftest holds every answer against it)."""

import re
from typing import Any

import pytest

from service.encoding.formats import FORMATS
from tests.api.conftest import Client

PROBLEM = "application/problem+json"
SHARED = {"400": "foreign-host", "422": "invalid-parameter", "500": "internal-error"}


@pytest.fixture
def description(client: Client) -> dict[str, Any]:
    return client.json("/openapi.json")


def operations(description: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    found = [(path, method, operation) for path, each in description["paths"].items() for method, operation in each.items()]
    assert len(found) >= 25
    return found


def references(node: object) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
        return own.union(*(references(each) for each in node.values()))
    return set().union(*(references(each) for each in node)) if isinstance(node, list) else set()


def test_operations_have_names_of_their_own_texts_and_tags(description: dict[str, Any]) -> None:
    found = operations(description)
    assert len({operation["operationId"] for _, _, operation in found}) == len(found)
    for path, method, operation in found:
        assert operation["description"].endswith("."), (method, path)
        assert len(operation["tags"]) == 1, (method, path)


def test_every_parameter_is_explained_and_cannot_be_null(description: dict[str, Any]) -> None:
    for path, method, operation in operations(description):
        parameters = operation.get("parameters", [])
        assert {each["name"] for each in parameters if each["in"] == "path"} == set(re.findall(r"{(\w+)}", path))
        for each in parameters:
            assert each["description"].endswith("."), (method, path, each["name"])
            assert "null" not in str(each["schema"])
            assert "anyOf" not in each["schema"]


def test_every_operation_tells_success_and_failures(description: dict[str, Any]) -> None:
    for path, method, operation in operations(description):
        answers = operation["responses"]
        assert {"200", "204", "307"} & set(answers), (method, path)
        for status, code in SHARED.items():
            assert code in answers[status]["content"][PROBLEM]["examples"], (method, path)
        assert ("404" in answers) == ("{" in path), "whatever is named in a path may be unknown"
        assert ({"401", "403"} <= set(answers)) == (method != "get"), (method, path)
        assert all(answer["description"] for answer in answers.values())


def test_failures_are_problems_with_examples(description: dict[str, Any]) -> None:
    codes = set()
    for path, method, operation in operations(description):
        for status, answer in operation["responses"].items():
            if int(status) < 400:
                continue
            assert list(answer["content"]) == [PROBLEM], (method, path, status)
            assert answer["content"][PROBLEM]["schema"] == {"$ref": "#/components/schemas/Problem"}
            for code, example in answer["content"][PROBLEM]["examples"].items():
                value = example["value"]
                assert (value["code"], value["status"], value["type"]) == (code, int(status), "about:blank")
                assert value["title"]
                assert value["detail"].endswith(".")
                codes.add(code)
    assert {"unknown-dataset", "invalid-recipe", "version-gone", "queue-full", "deadline-exceeded", "missing-token", "writes-forbidden"} <= codes


def test_headers_that_matter_are_told(description: dict[str, Any]) -> None:
    batch = description["paths"]["/datasets/{dataset}/splits/{split}/batches/{epoch}/{step}.{format}"]["get"]["responses"]
    assert {"ETag", "Cache-Control", "X-Batchlens-Version", "Server-Timing"} <= set(batch["200"]["headers"])
    assert "Retry-After" in batch["503"]["headers"]
    assert "ETag" in batch["304"]["headers"]
    binary = {each.media_type for each in FORMATS.values() if each.name != "json"}
    assert next(iter(batch["200"]["content"])) == "application/octet-stream", "what a generator takes that knows none of the others"
    assert set(batch["200"]["content"]) == binary | {"application/octet-stream"}
    assert "WWW-Authenticate" in description["paths"]["/devices/current"]["put"]["responses"]["401"]["headers"]
    assert "Location" in description["paths"]["/datasets/{dataset}/splits/{split}/batches/random.{format}"]["get"]["responses"]["307"]["headers"]


def test_writes_alone_take_a_token(description: dict[str, Any]) -> None:
    for path, method, operation in operations(description):
        assert bool(operation.get("security")) == (method != "get"), (method, path)


def test_every_reference_leads_somewhere_and_every_schema_is_used(description: dict[str, Any]) -> None:
    known = {f"#/components/schemas/{name}" for name in description["components"]["schemas"]}
    assert references(description) == known
    assert not any("HTTPValidationError" in name for name in known)


def test_fields_are_named_as_clients_see_them(description: dict[str, Any]) -> None:
    schemas = description["components"]["schemas"]
    assert "class" in schemas["SampleDetail"]["properties"]
    assert "class" in schemas["ProvenanceRow"]["properties"]
    assert not [name for name, each in schemas.items() if "class_name" in each.get("properties", {})]


def test_the_description_is_made_once(client: Client) -> None:
    assert client.app.openapi() is client.app.openapi()
    assert client.get("/openapi.json").content == client.get("/openapi.json").content
