"""What happens around every gRPC call: authenticate, count, time, and turn errors into statuses."""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Any

import grpc

from service import observation
from service.access import Caller, Need, act_for, admit
from service.access_log import log_request
from service.errors import DeadlineExceeded, Internal, InvalidRequest, ServiceError
from service.grpc_api.errors import STATUS, short_message, trailing_metadata
from service.grpc_api.permissions import needed
from service.keys import KeyFile
from service.metrics import Metrics
from service.observation import Observation
from service.quotas import Quotas
from service.request_ids import request_id as choose_request_id
from service.tracing import NO_TRACING, Tracing

_LOG = logging.getLogger(__name__)

_Handler = Any  # grpc.RpcMethodHandler, whose type parameters exist in its stubs only

_UNCOUNTED = nullcontext()


class Observed:
    """A server that has the calls of its services observed; ``add_…Servicer_to_server`` take it for one."""

    def __init__(
        self,
        server: grpc.aio.Server,
        metrics: Metrics,
        keys: KeyFile,
        quotas: Quotas,
        tracing: Tracing = NO_TRACING,
        *,
        patience_s: float | None = None,
    ) -> None:
        """A client that uploads may let `patience_s` seconds pass between two messages; None is for ever."""
        self.metrics = metrics
        self.keys = keys
        self.quotas = quotas
        self.tracing = tracing
        self.patience_s = patience_s
        self._server = server

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """See `grpc.Server`; whatever comes here comes by its methods as well."""

    def add_registered_method_handlers(self, service: str, handlers: dict[str, _Handler]) -> None:
        """See `grpc.Server`. Found by name: for registered methods gRPC waits one by one, and at every call anew."""
        observed = {name: self._observed(f"/{service}/{name}", handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, observed),))

    def _observed(self, path: str, handler: _Handler) -> _Handler:
        method = _Method(self, path, handler)
        # Else it returns, or writes to the context.
        yields = inspect.isasyncgenfunction(method.behaviour)
        return _like(handler, method.yielding if yields else method.returning)


class _Method:
    """One method of a service, as gRPC calls it: with the bytes of requests."""

    def __init__(self, server: Observed, path: str, handler: _Handler) -> None:
        self.server = server
        self.path = path
        self.need = needed(path)
        self.api = _api(path, self.need)
        self.behaviour = _behaviour(handler)
        self._handler = handler

    async def returning(self, content: Any, context: Any) -> Any:
        """The behaviour, observed."""
        with _Call(self, context) as call:
            try:
                caller = call.admit()
                request = self._read(content)
                with self._counted(caller):
                    return await self.behaviour(request, context)
            except Exception as error:  # noqa: BLE001 - the outer boundary of a call
                await call.fail(error)

    async def yielding(self, content: Any, context: Any) -> Any:
        """The behaviour, observed from its first message to its last."""
        with _Call(self, context) as call:
            try:
                caller = call.admit()
                request = self._read(content)
                with self._counted(caller):
                    async with aclosing(self.behaviour(request, context)) as messages:
                        async for message in messages:
                            yield message
            except Exception as error:  # noqa: BLE001 - as above
                await call.fail(error)

    def _read(self, content: Any) -> Any:
        return _read(self._handler, content, self.server.patience_s)

    def _counted(self, caller: Caller) -> AbstractContextManager[None]:
        return _UNCOUNTED if self.need in ("nothing", "key") else self.server.quotas.open_request(caller)


class _Call:
    """One call: its caller, its place in the metrics, its status."""

    def __init__(self, method: _Method, context: Any) -> None:
        self._method = method
        self._context = context
        self._metadata = dict(context.invocation_metadata() or ())
        self._seen = Observation(choose_request_id(self._metadata.get("x-request-id")))
        self._code = "OK"
        context.set_trailing_metadata((("x-request-id", self._seen.request_id),))

    def admit(self) -> Caller:
        """Find out whose call this is, and work for them.

        Raises:
            Unauthenticated, PermissionDenied: see `service.access.admit`.
        """
        method, server, seen = self._method, self._method.server, self._seen
        authorization = self._metadata.get("authorization")
        caller = admit(authorization if isinstance(authorization, str) else None, method.need, server.keys)
        act_for(caller)
        seen.key_id = caller.key_id
        if method.api != "operations":
            seen.span = server.tracing.begin(method.path.removeprefix("/"), self._metadata, seen.request_id)
        return caller

    def __enter__(self) -> "_Call":
        self._start = time.perf_counter()
        observation.observe(self._seen)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError | GeneratorExit):
            self._code = "CANCELLED"
        self._record(time.perf_counter() - self._start)

    async def fail(self, error: Exception) -> None:
        """Abort the call with the status of `error`; aborting raises."""
        if isinstance(error, grpc.aio.AbortError):
            self._code = "ABORTED"
            raise error
        request_id = self._seen.request_id
        if not isinstance(error, ServiceError):
            _LOG.error("call %s failed", request_id, exc_info=error)
            error = Internal(request_id)
        status = STATUS[error.kind]
        self._code = status.name
        await self._context.abort(status, short_message(error), trailing_metadata(error, request_id))

    def _record(self, seconds: float) -> None:
        """Count, log and trace a call that is over."""
        seen, code, method = self._seen, self._code, self._method
        api, path, metrics = method.api, method.path, method.server.metrics
        metrics.requests_of(seen.model, seen.version, api, code).inc()
        metrics.request_seconds_of(api).observe(seconds)
        log_request(seen, api=api, method=path, path="", code=code, seconds=seconds)
        if seen.span is not None:
            service, _, name = path.removeprefix("/").rpartition("/")
            attributes: dict[str, Any] = {
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": name,
                "rpc.grpc.status": code,
                "latentd.model": seen.model,
                "latentd.rows": seen.rows,
            }
            seen.span.end(f"{service}/{name}", code, attributes)


def _api(method: str, need: Need) -> str:
    """The label of the metrics: probes and reflection are operations."""
    if need == "nothing":
        return "operations"
    for prefix, api in (("/latentd.", "grpc"), ("/inference.", "inference_grpc")):
        if method.startswith(prefix):
            return api
    return "operations"


def _behaviour(handler: _Handler) -> Any:
    """The one of its four functions that a handler has."""
    if handler.response_streaming:
        return handler.stream_stream if handler.request_streaming else handler.unary_stream
    return handler.stream_unary if handler.request_streaming else handler.unary_unary


def _read(handler: _Handler, content: Any, patience_s: float | None) -> Any:
    """The request, or the requests, of a call: gRPC itself would answer bytes that are no message with UNKNOWN.

    Raises:
        InvalidRequest: they are none; of a stream, when its turn comes.
        DeadlineExceeded: an upload goes on too slowly. A dialogue, whose answers are a stream as well, may pause.
    """
    read = handler.request_deserializer
    if read is None:
        return content
    if not handler.request_streaming:
        return _read_one(read, content)
    return _read_all(read, content, None if handler.response_streaming else patience_s)


def _read_one(read: Callable[[bytes], Any], message: bytes) -> Any:
    try:
        return read(message)
    except Exception as error:  # protobuf's own classes differ between its implementations
        raise InvalidRequest("message: these bytes are not what the method takes; see its .proto") from error


async def _read_all(
    read: Callable[[bytes], Any], content: AsyncIterable[bytes], longest_s: float | None
) -> AsyncGenerator[Any]:
    messages = aiter(content)
    while True:
        try:
            async with asyncio.timeout(longest_s):
                message = await anext(messages)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise DeadlineExceeded(f"message: the next one did not come within {longest_s:g} s") from None
        yield _read_one(read, message)


def _like(handler: _Handler, behaviour: Any) -> _Handler:
    """A handler of the same form that hands `behaviour` the bytes of requests."""
    forms = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }
    return forms[handler.request_streaming, handler.response_streaming](
        behaviour, response_serializer=handler.response_serializer
    )
