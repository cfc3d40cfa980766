"""The OpenAPI document: what FastAPI derives from the routes, and what it cannot know.

That is: the statuses and bodies of errors, which key a call needs, and the schemas of bodies that routes read
themselves.
"""

from functools import cache
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from service.http_api.errors import STATUS
from service.http_api.permissions import needed

_SCHEMES = {
    "apiKey": {
        "type": "http",
        "scheme": "bearer",
        "description": "A key of `latentd keys create`. A server on loopback may have none, and then asks for none.",
    }
}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string", "description": "names the field, the value received, what is allowed"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"], "description": "the field at fault"},
                "code": {"enum": sorted(STATUS), "description": "the kind of error"},
            },
        }
    },
    "example": {
        "error": {
            "message": "n: got 0; allowed: an integer from 1 to 1024",
            "type": "invalid_request_error",
            "param": "n",
            "code": "invalid_request",
        }
    },
}
_INFERENCE_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
    "example": {"error": "inputs.seed.shape: got [2, 3]; allowed: [n, 1] with n at least 1"},
}
_MEANINGS = {
    400: "A field is wrong: the message names it, its value and what is allowed.",
    401: "A key is needed and this is none.",
    403: "The key lacks the scope, or the page or host is not allowed.",
    404: "No such model, version, alias or path.",
    409: "What is there already forbids it.",
    413: "The body is too large.",
    415: "The body's type or encoding is not read.",
    429: "Too busy, or over the caller's limit; come back after `Retry-After` seconds.",
    500: "Unforeseen; quote the request id.",
    501: "Part of the protocol that this server does not offer.",
    503: "Starting or stopping; come back after `Retry-After` seconds.",
    504: "The time that the client gave has passed.",
}
_OF_ALL = (500, 503)
_OF_GUARDED = (401, 403)
_OF_BODIES = (400, 413, 415, 429, 504)


def complete(app: FastAPI) -> None:
    """Make `app` answer with the completed document."""

    @cache
    def openapi() -> dict[str, Any]:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            license_info=app.license_info,
            routes=app.routes,
        )
        return _completed(document)

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to change the document


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    schemas: dict[str, Any] = {"Error": _ERROR, "InferenceError": _INFERENCE_ERROR}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _hoist(operation, schemas)
            _drop_versions(operation)
            _add_access(operation, needed(method.upper(), path))
            _add_errors(operation, path, method)
    components = document.setdefault("components", {})
    components["schemas"] = dict(sorted({**components.get("schemas", {}), **schemas}.items()))
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["securitySchemes"] = _SCHEMES
    return document


def _hoist(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Move definitions from inside the bodies to where their references point."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schemas.update(content["schema"].pop("$defs", {}))


def _drop_versions(operation: dict[str, Any]) -> None:
    """The inference protocol's version is a part of the path, in the routes that have it."""
    if "parameters" in operation:
        asked = [each for each in operation["parameters"] if (each["in"], each["name"]) != ("query", "version")]
        operation["parameters"] = asked


def _add_access(operation: dict[str, Any], need: str) -> None:
    operation["security"] = [] if need == "nothing" else [{}, {"apiKey": []}]
    if need not in ("nothing", "key"):
        operation["x-latentd-scope"] = need


def _add_errors(operation: dict[str, Any], path: str, method: str) -> None:
    statuses = [*_OF_ALL]
    if operation["security"]:
        statuses += _OF_GUARDED
    if "requestBody" in operation:
        statuses += _OF_BODIES
    if "{" in path or "requestBody" in operation:
        statuses += (400, 404)
    if any(parameter["in"] == "query" for parameter in operation.get("parameters", ())):
        statuses.append(400)
    if (operation.get("x-latentd-scope") == "train" and method != "get") or path.endswith("/promote"):
        statuses.append(409)
    if (method, path) in (("put", "/v1/aliases/{alias}"), ("delete", "/v1/models/{name}")):
        statuses.append(409)
    if path.startswith("/v2/repository/models/"):
        statuses.append(501)
    schema = "InferenceError" if path.startswith("/v2") else "Error"
    responses = operation["responses"]
    responses.pop("422", None)
    for status in sorted(set(statuses)):
        if str(status) not in responses:
            content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
            responses[str(status)] = {"description": _MEANINGS[status], "content": content}
