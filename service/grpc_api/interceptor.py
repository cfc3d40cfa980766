"""What happens around every gRPC call: authenticate, count, time, and turn errors into statuses."""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext
from contextvars import ContextVar
from typing import Any

import grpc

from service import observation
from service.access import ANYBODY, Need, act_for, admit
from service.access_log import log_request
from service.engine import SampleResult
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
_served: ContextVar[tuple[str, str]] = ContextVar("served", default=("", ""))


def note_model(result: SampleResult) -> None:
    """Tell the interceptor which model answered, for its metrics."""
    _served.set((result.model.name, str(result.model.version)))


class Observe(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in its stubs only
    """Wraps every call."""

    def __init__(
        self,
        metrics: Metrics,
        keys: KeyFile,
        quotas: Quotas,
        tracing: Tracing = NO_TRACING,
        *,
        patience_s: float | None = None,
    ) -> None:
        """A client that uploads may let `patience_s` seconds pass between two messages; None is for ever."""
        self._metrics = metrics
        self._keys = keys
        self._quotas = quotas
        self._tracing = tracing
        self._yields: dict[str, bool] = {}  # of each method that was called, whether it is an asynchronous generator
        self._patience_s = patience_s

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """See `grpc.aio.ServerInterceptor`."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        method = handler_call_details.method
        metadata = dict(handler_call_details.invocation_metadata or ())
        authorization = metadata.get("authorization")
        seen = Observation(choose_request_id(metadata.get("x-request-id")))
        call = _Call(self._metrics, self._quotas, seen, need=needed(method), method=method, patience_s=self._patience_s)
        try:
            call.admit(authorization if isinstance(authorization, str) else None, self._keys)
        except ServiceError as error:
            return self._refuse(handler, call, error)
        except Exception:  # noqa: BLE001 - as below: a key file that broke while running
            _LOG.exception("call %s failed", seen.request_id)
            return self._refuse(handler, call, Internal(seen.request_id))
        if call.api != "operations":
            call.begin_span(self._tracing, metadata)
        yields = self._yields.get(method)
        if yields is None:  # else it returns, or writes to the context
            yields = self._yields[method] = inspect.isasyncgenfunction(_behaviour(handler))
        return _like(handler, call.yielding(handler) if yields else call.returning(handler))

    @staticmethod
    def _refuse(handler: _Handler, call: "_Call", error: ServiceError) -> _Handler:
        call.record(STATUS[error.kind].name, 0.0)
        return _refusing(handler, error, call.seen.request_id)


class _Call:
    """One call: its caller, its place in the metrics, its status."""

    def __init__(
        self,
        metrics: Metrics,
        quotas: Quotas,
        seen: Observation,
        *,
        need: Need,
        method: str,
        patience_s: float | None,
    ) -> None:
        self._metrics = metrics
        self._quotas = quotas
        self._need = need
        self._method = method
        self._patience_s = patience_s
        self._caller = ANYBODY
        self._code = "OK"
        self._start = 0.0  # on the clock of `time.perf_counter`
        self.seen = seen
        self.api = _api(method, need)

    def admit(self, authorization: str | None, keys: KeyFile) -> None:
        """Find out whose call this is.

        Raises:
            Unauthenticated, PermissionDenied: see `service.access.admit`.
        """
        self._caller = admit(authorization, self._need, keys)
        self.seen.key_id = self._caller.key_id

    def begin_span(self, tracing: Tracing, metadata: dict[str, Any]) -> None:
        """Trace this call, where it is sampled."""
        self.seen.span = tracing.begin(self._method.removeprefix("/"), metadata, self.seen.request_id)

    def returning(self, handler: _Handler) -> Any:
        """The handler's behaviour, observed."""
        behaviour = _behaviour(handler)

        async def call(content: Any, context: Any) -> Any:
            with self._observing(context):
                try:
                    request = _read(handler, content, self._patience_s)
                    with self._on_behalf():
                        return await behaviour(request, context)
                except Exception as error:  # noqa: BLE001 - the outer boundary of a call
                    await self._fail(context, error)

        return call

    def yielding(self, handler: _Handler) -> Any:
        """The handler's behaviour, observed from its first message to its last."""
        behaviour = _behaviour(handler)

        async def call(content: Any, context: Any) -> Any:
            with self._observing(context):
                try:
                    request = _read(handler, content, self._patience_s)
                    with self._on_behalf():
                        async with aclosing(behaviour(request, context)) as messages:
                            async for message in messages:
                                yield message
                except Exception as error:  # noqa: BLE001 - as above
                    await self._fail(context, error)

        return call

    def _on_behalf(self) -> AbstractContextManager[None]:
        act_for(self._caller)
        return _UNCOUNTED if self._need in ("nothing", "key") else self._quotas.open_request(self._caller)

    def _observing(self, context: Any) -> "_Call":
        """What is to be entered while the call is answered."""
        context.set_trailing_metadata((("x-request-id", self.seen.request_id),))
        return self

    def __enter__(self) -> None:
        self._start = time.perf_counter()
        _served.set(("", ""))
        observation.observe(self.seen)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is not None and issubclass(kind, asyncio.CancelledError | GeneratorExit):
            self._code = "CANCELLED"
        self.record(self._code, time.perf_counter() - self._start)

    def record(self, code: str, seconds: float) -> None:
        """Count, log and trace a call that is over."""
        seen, method = self.seen, self._method
        model, version = _served.get()
        model, version = model or seen.model, version or seen.version
        self._metrics.requests_of(model, version, self.api, code).inc()
        self._metrics.request_seconds_of(self.api).observe(seconds)
        log_request(seen, api=self.api, method=method, path="", code=code, seconds=seconds)
        if seen.span is not None:
            service, _, name = method.removeprefix("/").rpartition("/")
            attributes: dict[str, Any] = {
                "rpc.system": "grpc",
                "rpc.service": service,
                "rpc.method": name,
                "rpc.grpc.status": code,
                "latentd.model": model,
                "latentd.rows": seen.rows,
            }
            seen.span.end(f"{service}/{name}", code, attributes)

    async def _fail(self, context: Any, error: Exception) -> None:
        """Abort the call with the status of `error`; aborting raises."""
        if isinstance(error, grpc.aio.AbortError):
            self._code = "ABORTED"
            raise error
        if not isinstance(error, ServiceError):
            _LOG.error("call %s failed", self.seen.request_id, exc_info=error)
            error = Internal(self.seen.request_id)
        self._code = STATUS[error.kind].name
        await _abort(context, error, self.seen.request_id)


def _api(method: str, need: Need) -> str:
    """The label of the metrics: probes and reflection are operations."""
    if need == "nothing":
        return "operations"
    for prefix, api in (("/latentd.", "grpc"), ("/inference.", "inference_grpc")):
        if method.startswith(prefix):
            return api
    return "operations"


async def _abort(context: Any, error: ServiceError, request_id: str) -> None:
    await context.abort(STATUS[error.kind], short_message(error), trailing_metadata(error, request_id))


def _refusing(handler: _Handler, error: ServiceError, request_id: str) -> _Handler:
    """A handler of the same form that only refuses."""

    async def refuse(request: Any, context: Any) -> Any:
        await _abort(context, error, request_id)

    async def refuse_stream(request: Any, context: Any) -> Any:
        await _abort(context, error, request_id)
        yield  # makes this an asynchronous generator, as streaming handlers are

    return _like(handler, refuse_stream if handler.response_streaming else refuse)


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
