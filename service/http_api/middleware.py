"""What happens around every HTTP request, outermost first: observe, authenticate, limit the body.

Plain ASGI: no task and no queue per request. `service.http_api.application` has the whole order.
"""

import logging
from collections.abc import Callable, Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service import observation
from service.access import act_for, admit
from service.errors import Internal, PermissionDenied, ServiceError, TooLarge
from service.http_api.errors import STATUS, error_response
from service.http_api.permissions import needed
from service.http_api.raw_headers import Pairs, header
from service.http_api.recording import Record, Recorder
from service.http_api.whole_bodies import whole_body
from service.keys import KeyFile
from service.metrics import Metrics
from service.quotas import Quotas

_LOG = logging.getLogger(__name__)
_DRAINED = 64 << 20  # bytes of a refused body that are still read, so that its client gets to read the refusal


class Observe:
    """Gives each request an id, counts and times it, logs it, and answers what nobody foresaw."""

    def __init__(
        self,
        app: ASGIApp,
        recorder: Recorder,
        *,
        headers: Callable[[Scope], Pairs] = lambda _: (),
    ) -> None:
        """`headers` are added to every answer, whoever gives it."""
        self._app = app
        self._recorder = recorder
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0
        record = Record(self._recorder, scope)
        observation.observe(record.seen)
        request_id = record.seen.request_id
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
        record.end(str(state.get("status", status) or STATUS["cancelled"]))


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
