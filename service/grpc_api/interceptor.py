"""What happens around every gRPC call: authenticate, count, time, and turn errors into statuses."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc

from service.access import authenticate
from service.engine import SampleResult
from service.errors import Internal, ServiceError
from service.grpc_api.errors import STATUS, short_message, trailing_metadata
from service.keys import KeyFile
from service.metrics import Metrics
from service.request_ids import request_id as choose_request_id

_LOG = logging.getLogger("latentd.access")
_OPEN_SERVICES = ("/grpc.health.v1.Health/",)
_OPEN_METHODS = ("/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady")

_Handler = Any  # grpc.RpcMethodHandler, whose type parameters exist in its stubs only

_served: ContextVar[tuple[str, str]] = ContextVar("served", default=("", ""))


def note_model(result: SampleResult) -> None:
    """Tell the interceptor which model answered, for its metrics."""
    _served.set((result.model.name, str(result.model.version)))


class Observe(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in its stubs only
    """Wraps unary calls; streams of health and reflection only pass the key check."""

    def __init__(self, metrics: Metrics, keys: KeyFile) -> None:
        self._metrics = metrics
        self._keys = keys

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """See `grpc.aio.ServerInterceptor`."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        metadata = dict(handler_call_details.invocation_metadata or ())
        authorization = metadata.get("authorization")
        request_id = choose_request_id(metadata.get("x-request-id"))
        if not method.startswith(_OPEN_SERVICES) and method not in _OPEN_METHODS:
            try:
                authenticate(authorization if isinstance(authorization, str) else None, self._keys)
            except ServiceError as error:
                return _refusing(handler, error, request_id)
            except Exception:  # noqa: BLE001 - as below: a key file that broke while running
                _LOG.exception("call %s failed", request_id)
                return _refusing(handler, Internal(request_id), request_id)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self._wrap(handler.unary_unary, method, request_id),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _wrap(self, behaviour: Callable[[Any, Any], Awaitable[Any]], method: str, request_id: str) -> Any:
        api = "inference_grpc" if method.startswith("/inference.") else "grpc"

        async def call(request: Any, context: Any) -> Any:
            start, code = time.perf_counter(), "OK"
            _served.set(("", ""))
            try:
                context.set_trailing_metadata((("x-request-id", request_id),))
                return await behaviour(request, context)
            except ServiceError as error:
                code = STATUS[error.kind].name
                await _abort(context, error, request_id)
            except asyncio.CancelledError:
                code = "CANCELLED"
                raise
            except grpc.aio.AbortError:
                code = "ABORTED"
                raise
            except Exception:  # noqa: BLE001 - the outer boundary of a call
                code = "INTERNAL"
                _LOG.exception("call %s failed", request_id)
                await _abort(context, Internal(request_id), request_id)
            finally:
                seconds = time.perf_counter() - start
                self._metrics.requests.labels(*_served.get(), api, code).inc()
                self._metrics.request_seconds.labels(api).observe(seconds)
                _LOG.debug("%s %s %s %.1f ms", request_id, method, code, seconds * 1e3)

        return call


async def _abort(context: Any, error: ServiceError, request_id: str) -> None:
    await context.abort(STATUS[error.kind], short_message(error), trailing_metadata(error, request_id))


def _refusing(handler: _Handler, error: ServiceError, request_id: str) -> _Handler:
    """A handler of the same form that only refuses."""

    async def refuse(request: Any, context: Any) -> Any:
        await _abort(context, error, request_id)

    async def refuse_stream(request: Any, context: Any) -> Any:
        await _abort(context, error, request_id)
        yield  # makes this an asynchronous generator, as streaming handlers are

    if handler is None:
        return handler
    if handler.request_streaming:
        make = (
            grpc.stream_stream_rpc_method_handler
            if handler.response_streaming
            else grpc.stream_unary_rpc_method_handler
        )
    else:
        make = (
            grpc.unary_stream_rpc_method_handler if handler.response_streaming else grpc.unary_unary_rpc_method_handler
        )
    return make(
        refuse_stream if handler.response_streaming else refuse,
        request_deserializer=handler.request_deserializer,
        response_serializer=handler.response_serializer,
    )
