"""The OpenAPI document leaves no call unexplained."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.current import openapi

DOCUMENT = openapi()
OPERATIONS = [
    pytest.param(operation, id=f"{method.upper()} {path}")
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for."""
    if "$ref" not in schema:
        return schema
    found: dict[str, Any] = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def bodies(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and schema of every body that may go or come."""
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"request {media_type}", content.get("schema", {})
    for status, response in operation["responses"].items():
        for media_type, content in response.get("content", {}).items():
            yield f"{status} {media_type}", content.get("schema", {})


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_call_is_described_and_every_body_has_a_form(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"]
    for name, schema in bodies(operation):
        form = resolved(schema)
        assert form.get("properties") or form.get("items") or form.get("type") == "string", name


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_json_that_is_sent_has_an_example(operation: dict[str, Any]) -> None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    assert content is None or "example" in content or "example" in resolved(content["schema"])
