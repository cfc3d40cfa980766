"""What happens around every gRPC call: authenticate, count, time, and turn errors into statuses."""

import asyncio
import inspect
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import aclosing, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import grpc

from service.access import ANYBODY, Caller, Need, act_for, admit
from service.engine import SampleResult
from service.errors import Internal, InvalidRequest, ServiceError
from service.grpc_api.errors import STATUS, short_message, trailing_metadata
from service.grpc_api.permissions import needed
from service.keys import KeyFile
from service.metrics import Metrics
from service.quotas import Quotas
from service.request_ids import request_id as choose_request_id

_LOG = logging.getLogger("latentd.access")
_COUNTED = {"/latentd.": "grpc", "/inference.": "inference_grpc"}  # health and reflection are not

_Handler = Any  # grpc.RpcMethodHandler, whose type parameters exist in its stubs only

_served: ContextVar[tuple[str, str]] = ContextVar("served", default=("", ""))


def note_model(result: SampleResult) -> None:
    """Tell the interceptor which model answered, for its metrics."""
    _served.set((result.model.name, str(result.model.version)))


class Observe(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in its stubs only
    """Wraps every call."""

    def __init__(self, metrics: Metrics, keys: KeyFile, quotas: Quotas) -> None:
        self._metrics = metrics
        self._keys = keys
        self._quotas = quotas

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
        request_id = choose_request_id(metadata.get("x-request-id"))
        need = needed(method)
        caller = ANYBODY
        try:
            caller = admit(authorization if isinstance(authorization, str) else None, need, self._keys)
        except ServiceError as error:
            return _refusing(handler, error, request_id)
        except Exception:  # noqa: BLE001 - as below: a key file that broke while running
            _LOG.exception("call %s failed", request_id)
            return _refusing(handler, Internal(request_id), request_id)
        call = _Call(self._metrics, self._quotas, caller, need=need, method=method, request_id=request_id)
        yields = inspect.isasyncgenfunction(_behaviour(handler))  # else it returns, or writes to the context
        return _like(handler, call.yielding(handler) if yields else call.returning(handler))


class _Call:
    """One call: its caller, its place in the metrics, its status."""

    def __init__(
        self, metrics: Metrics, quotas: Quotas, caller: Caller, *, need: Need, method: str, request_id: str
    ) -> None:
        self._metrics = metrics
        self._quotas = quotas
        self._caller = caller
        self._counted = need not in ("nothing", "key")
        self._method = method
        self._api = next((api for prefix, api in _COUNTED.items() if method.startswith(prefix)), None)
        self._request_id = request_id
        self._code = "OK"

    def returning(self, handler: _Handler) -> Any:
        """The handler's behaviour, observed."""
        behaviour = _behaviour(handler)

        async def call(content: Any, context: Any) -> Any:
            with self._observed(context):
                try:
                    request = _read(handler, content)
                    with self._on_behalf():
                        return await behaviour(request, context)
                except Exception as error:  # noqa: BLE001 - the outer boundary of a call
                    await self._fail(context, error)

        return call

    def yielding(self, handler: _Handler) -> Any:
        """The handler's behaviour, observed from its first message to its last."""
        behaviour = _behaviour(handler)

        async def call(content: Any, context: Any) -> Any:
            with self._observed(context):
                try:
                    request = _read(handler, content)
                    with self._on_behalf():
                        async with aclosing(behaviour(request, context)) as messages:
                            async for message in messages:
                                yield message
                except Exception as error:  # noqa: BLE001 - as above
                    await self._fail(context, error)

        return call

    @contextmanager
    def _on_behalf(self) -> Iterator[None]:
        act_for(self._caller)
        with self._quotas.open_request(self._caller) if self._counted else nullcontext():
            yield

    @contextmanager
    def _observed(self, context: Any) -> Iterator[None]:
        start = time.perf_counter()
        _served.set(("", ""))
        context.set_trailing_metadata((("x-request-id", self._request_id),))
        try:
            yield
        except (asyncio.CancelledError, GeneratorExit):
            self._code = "CANCELLED"
            raise
        finally:
            seconds = time.perf_counter() - start
            if self._api:
                self._metrics.requests.labels(*_served.get(), self._api, self._code).inc()
                self._metrics.request_seconds.labels(self._api).observe(seconds)
            _LOG.debug("%s %s %s %.1f ms", self._request_id, self._method, self._code, seconds * 1e3)

    async def _fail(self, context: Any, error: Exception) -> None:
        """Abort the call with the status of `error`; aborting raises."""
        if isinstance(error, grpc.aio.AbortError):
            self._code = "ABORTED"
            raise error
        if not isinstance(error, ServiceError):
            _LOG.error("call %s failed", self._request_id, exc_info=error)
            error = Internal(self._request_id)
        self._code = STATUS[error.kind].name
        await _abort(context, error, self._request_id)


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


def _read(handler: _Handler, content: Any) -> Any:
    """The request, or the requests, of a call: gRPC itself would answer bytes that are no message with UNKNOWN.

    Raises:
        InvalidRequest: they are none; of a stream, when its turn comes.
    """
    deserialize = handler.request_deserializer or (lambda message: message)

    def read(message: bytes) -> Any:
        try:
            return deserialize(message)
        except Exception as error:  # protobuf's own classes differ between its implementations
            raise InvalidRequest("message: these bytes are not what the method takes; see its .proto") from error

    async def read_all() -> AsyncGenerator[Any]:
        async for message in content:
            yield read(message)

    return read_all() if handler.request_streaming else read(content)


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
