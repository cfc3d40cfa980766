"""What happens around every HTTP request, outermost first: observe, authenticate, limit the body.

Plain ASGI: no task and no queue per request. `service.http_api.application` has the whole order.
"""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import observation
from service.access import act_for, admit
from service.access_log import log_request
from service.errors import Internal, PermissionDenied, ServiceError, TooLarge
from service.http_api.errors import STATUS, error_response
from service.http_api.permissions import needed
from service.http_api.raw_headers import Pairs, header
from service.http_api.whole_bodies import whole_body
from service.keys import KeyFile
from service.metrics import Metrics
from service.observation import Observation
from service.quotas import Quotas
from service.request_ids import request_id as choose_request_id
from service.tracing import NO_TRACING, Tracing

_LOG = logging.getLogger(__name__)
_DRAINED = 64 << 20  # bytes of a refused body that are still read, so that its client gets to read the refusal


class Observe:
    """Gives each request an id, counts and times it, logs it, and answers what nobody foresaw."""

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        tracing: Tracing = NO_TRACING,
        *,
        headers: Callable[[Scope], Pairs] = lambda _: (),
    ) -> None:
        """`headers` are added to every answer, whoever gives it."""
        self._app = app
        self._metrics = metrics
        self._tracing = tracing
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0
        api = _api(scope["method"], scope["path"])
        request_id = choose_request_id(header(scope, b"x-request-id"))
        seen = Observation(request_id)
        observation.observe(seen)
        if api != "operations":
            seen.span = self._tracing.begin(f"{scope['method']} {api}", Headers(scope=scope), request_id)
        state = scope.setdefault("state", {})
        state["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [*message.get("headers", ()), (b"x-request-id", request_id.encode()), *self._headers(scope)]
                if state.get("close"):  # the rest of the body is not worth waiting for
                    headers.append((b"connection", b"close"))
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except ServiceError as error:  # raised by the layers below this one
            if not status:
                await error_response(scope["path"], error)(scope, receive, send_with_id)
        except Exception:  # noqa: BLE001 - the outer boundary of a request
            if "status" in state:  # its client is gone, or does not read
                _LOG.debug("request %s was given up", request_id)
            else:
                _LOG.exception("request %s failed", request_id)
            if not status:
                await error_response(scope["path"], Internal(request_id))(scope, receive, send_with_id)
        code = str(state.get("status", status) or STATUS["cancelled"])
        self._record(seen, scope, api, code, time.perf_counter() - start)

    def _record(self, seen: Observation, scope: Scope, api: str, code: str, seconds: float) -> None:
        """Count, log and trace a request that is over."""
        method, state = scope["method"], scope["state"]
        model, version = state.get("model", seen.model), state.get("version", seen.version)
        self._metrics.requests_of(model, version, api, code).inc()
        self._metrics.request_seconds_of(api).observe(seconds)
        log_request(seen, api=api, method=method, path=scope["path"], code=code, seconds=seconds)
        if seen.span is not None:
            route = getattr(scope.get("route"), "path", None)
            attributes: dict[str, Any] = {
                "http.request.method": method,
                "http.response.status_code": int(code),
                "latentd.model": model,
                "latentd.rows": seen.rows,
            }
            if route is not None:
                attributes["http.route"] = route
            seen.span.end(f"{method} {route or api}", code, attributes)


class Authenticate:
    """Asks for what `service.http_api.permissions` says, and counts a caller's open requests."""

    def __init__(self, app: ASGIApp, keys: KeyFile, quotas: Quotas, exists: Callable[[Scope], bool]) -> None:
        """`exists` tells whether any route takes a request, so that a wrong path is answered as such."""
        self._app = app
        self._keys = keys
        self._quotas = quotas
        self._exists = exists

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        need = needed(scope["method"], scope["path"])
        authorization = header(scope, b"authorization")
        try:
            caller = admit(authorization, need, self._keys)
        except PermissionDenied:
            if self._exists(scope):
                raise
            need = "key"
            caller = admit(authorization, need, self._keys)
        act_for(caller)
        observation.current().key_id = caller.key_id
        if need in ("nothing", "key"):  # what only reads does not count as an open request
            await self._app(scope, receive, send)
            return
        with self._quotas.open_request(caller):
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
        declared = header(scope, b"content-length") or "0"
        if declared.isdecimal() and int(declared) > self._max_bytes:
            if int(declared) > _DRAINED:
                scope["state"]["close"] = True
            raise self._too_large(f"{declared} bytes")
        whole = whole_body(scope)
        if whole is not None:
            if len(whole) > self._max_bytes:
                raise self._too_large(f"{len(whole)} bytes")
            await self._app(scope, receive, send)
            return
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


def _api(method: str, path: str) -> str:
    if needed(method, path) == "nothing":
        return "operations"
    if path.startswith("/v2"):
        return "inference_http"
    if path.startswith("/v1/images"):
        return "openai"
    return "http" if path.startswith("/v1") else "operations"
