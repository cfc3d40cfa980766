"""What happens around every gRPC call: authenticate, count, time, and turn errors into statuses."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

import grpc

from service import observation
from service.access import authenticate
from service.access_log import log_request
from service.engine import SampleResult
from service.errors import Internal, ServiceError
from service.grpc_api.errors import STATUS, short_message, trailing_metadata
from service.keys import KeyFile
from service.metrics import Metrics
from service.observation import Observation
from service.request_ids import request_id as choose_request_id
from service.tracing import NO_TRACING, Tracing

_LOG = logging.getLogger(__name__)
_OPEN_SERVICES = ("/grpc.health.v1.Health/",)
_OPEN_METHODS = ("/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady")

_Handler = Any  # grpc.RpcMethodHandler, whose type parameters exist in its stubs only

_served: ContextVar[tuple[str, str]] = ContextVar("served", default=("", ""))


def note_model(result: SampleResult) -> None:
    """Tell the interceptor which model answered, for its metrics."""
    _served.set((result.model.name, str(result.model.version)))


class Observe(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in its stubs only
    """Wraps unary calls; streams of health and reflection only pass the key check."""

    def __init__(self, metrics: Metrics, keys: KeyFile, tracing: Tracing = NO_TRACING) -> None:
        self._metrics = metrics
        self._keys = keys
        self._tracing = tracing

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
        seen = Observation(choose_request_id(metadata.get("x-request-id")))
        if not _is_open(method):
            try:
                key = authenticate(authorization if isinstance(authorization, str) else None, self._keys)
                seen.key_id = "" if key is None else key.id
            except ServiceError as error:
                return self._refuse(handler, error, method, seen)
            except Exception:  # noqa: BLE001 - as below: a key file that broke while running
                _LOG.exception("call %s failed", seen.request_id)
                return self._refuse(handler, Internal(seen.request_id), method, seen)
        if handler is None or handler.unary_unary is None:
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self._wrap(handler.unary_unary, method, metadata, seen),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _wrap(
        self, behaviour: Callable[[Any, Any], Awaitable[Any]], method: str, metadata: dict[str, Any], seen: Observation
    ) -> Any:
        request_id = seen.request_id

        async def call(request: Any, context: Any) -> Any:
            start, code = time.perf_counter(), "OK"
            _served.set(("", ""))
            observation.observe(seen)
            if not _is_open(method):
                seen.span = self._tracing.begin(method.removeprefix("/"), metadata, request_id)
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
                self._record(seen, method, code, time.perf_counter() - start)

        return call

    def _refuse(self, handler: _Handler, error: ServiceError, method: str, seen: Observation) -> _Handler:
        self._record(seen, method, STATUS[error.kind].name, 0.0)
        return _refusing(handler, error, seen.request_id)

    def _record(self, seen: Observation, method: str, code: str, seconds: float) -> None:
        """Count, log and trace a call that is over."""
        api = _api(method)
        model, version = _served.get()
        model, version = model or seen.model, version or seen.version
        self._metrics.requests.labels(model, version, api, code).inc()
        self._metrics.request_seconds.labels(api).observe(seconds)
        log_request(seen, api=api, method=method, path="", code=code, seconds=seconds)
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


def _is_open(method: str) -> bool:
    """Probes answer without a key: they say nothing but yes or no."""
    return method.startswith(_OPEN_SERVICES) or method in _OPEN_METHODS


def _api(method: str) -> str:
    if _is_open(method):
        return "operations"
    return "inference_grpc" if method.startswith("/inference.") else "grpc"


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
