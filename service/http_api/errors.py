"""From error kind to HTTP: one table of statuses, one body per API family."""

from math import ceil
from typing import Any

from starlette.responses import JSONResponse

from service.errors import Busy, ServiceError

STATUS = {
    "invalid_request": 400,
    "unauthenticated": 401,
    "permission_denied": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "too_large": 413,
    "unsupported_media": 415,
    "overloaded": 429,
    "rate_limited": 429,
    "cancelled": 499,  # never sent: the client is gone; for log and metric only
    "internal": 500,
    "unimplemented": 501,
    "not_ready": 503,
    "draining": 503,
    "deadline": 504,
}

_OPENAI_TYPE = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def error_response(path: str, error: ServiceError) -> JSONResponse:
    """`error` in the body that clients of `path`'s API family read, with its status and retry headers."""
    status = STATUS[error.kind]
    headers: dict[str, str] = {}
    if isinstance(error, Busy):
        headers["Retry-After"] = str(max(1, ceil(error.retry_after_s)))
        headers["retry-after-ms"] = str(max(1, ceil(error.retry_after_s * 1000)))
        headers["x-should-retry"] = "true"
    if error.kind == "conflict":
        headers["x-should-retry"] = "false"  # the OpenAI client would: 409 is a lock's answer elsewhere
    if status == STATUS["unauthenticated"]:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(error_body(path, error), status, headers)


def error_body(path: str, error: ServiceError) -> dict[str, Any]:
    """`error` as clients of `path`'s API family read it."""
    if path == "/v2" or path.startswith("/v2/"):
        return {"error": error.message}
    status = STATUS[error.kind]
    kind = _OPENAI_TYPE.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": error.message, "type": kind, "param": error.param, "code": error.kind}}
