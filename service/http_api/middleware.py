"""What happens around every HTTP request, outermost first: observe, authenticate, limit the body.

Plain ASGI: no task and no queue per request.
"""

import logging
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.access import authenticate
from service.errors import Internal, ServiceError, TooLarge
from service.http_api.errors import STATUS, error_response
from service.keys import KeyFile
from service.metrics import Metrics
from service.request_ids import request_id as choose_request_id

_LOG = logging.getLogger("latentd.access")

OPEN_PATHS = frozenset({"/livez", "/readyz", "/v2/health/live", "/v2/health/ready"})
"""Probes answer without a key: they say nothing but yes or no."""


class Observe:
    """Gives each request an id, counts and times it, logs it, and answers what nobody foresaw."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = choose_request_id(Headers(scope=scope).get("x-request-id"))
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        start, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ServiceError as error:  # raised by the layers below this one
            await error_response(scope["path"], error)(scope, receive, send_with_id)
        except Exception:  # noqa: BLE001 - the outer boundary of a request
            _LOG.exception("request %s failed", request_id)
            if not status:
                await error_response(scope["path"], Internal(request_id))(scope, receive, send_with_id)
        seconds = time.perf_counter() - start
        code = str(state.get("status", status) or STATUS["cancelled"])
        api = _api(scope["path"])
        self._metrics.requests.labels(state.get("model", ""), state.get("version", ""), api, code).inc()
        self._metrics.request_seconds.labels(api).observe(seconds)
        _LOG.debug("%s %s %r %s %.1f ms", request_id, scope["method"], scope["path"], code, seconds * 1e3)


class Authenticate:
    """Asks for an API key wherever the server has any."""

    def __init__(self, app: ASGIApp, keys: KeyFile) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            authenticate(Headers(scope=scope).get("authorization"), self._keys)
        await self._app(scope, receive, send)


class LimitBody:
    """Refuses bodies over a limit: by their declared length at once, else when the bytes have come."""

    def __init__(self, app: ASGIApp, max_bytes: int, metrics: Metrics) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if declared.isdecimal() and int(declared) > self._max_bytes:
            raise self._too_large(f"{declared} bytes")
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise self._too_large(f"over {self._max_bytes} bytes")
            return message

        await self._app(scope, counted, send)

    def _too_large(self, got: str) -> TooLarge:
        self._metrics.rejected.labels("size").inc()
        return TooLarge(f"body: got {got}; allowed: up to {self._max_bytes} bytes", param="body")


class ByPath:
    """Hands a request to the application of its path, or to another."""

    def __init__(self, applications: Mapping[str, ASGIApp], otherwise: ASGIApp) -> None:
        self._applications = applications
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        await self._applications.get(scope.get("path", ""), self._otherwise)(scope, receive, send)


def _api(path: str) -> str:
    if path.startswith("/v2"):
        return "inference_http"
    if path.startswith("/v1/images"):
        return "openai"
    return "http" if path.startswith("/v1") else "operations"
