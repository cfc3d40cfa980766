"""Tracing by the OpenTelemetry SDK, sent as OTLP over HTTP. Imported only where tracing is on."""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind, StatusCode, format_trace_id, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runtime import __version__
from service.tracing import Span

_EXPORT_S = 3.0  # longest that one export may take, hence that a stop waits for a collector that is gone
_FAILURES = frozenset({"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"})


class OtlpSpan:
    """See `service.tracing.Span`."""

    def __init__(self, span: trace.Span) -> None:
        self.span = span

    @property
    def trace_id(self) -> str:
        """See `service.tracing.Span`."""
        return format_trace_id(self.span.get_span_context().trace_id)

    def end(self, name: str, code: str, attributes: Mapping[str, str | int | float]) -> None:
        """See `service.tracing.Span`."""
        self.span.update_name(name)
        self.span.set_attributes(attributes)
        if code.startswith("5") or code in _FAILURES:
            self.span.set_status(StatusCode.ERROR, code)
        self.span.end()


class OtlpTracing:
    """See `service.tracing.Tracing`. The standard ``OTEL_*`` variables add headers and resource attributes."""

    def __init__(self, endpoint: str, ratio: float) -> None:
        resource = Resource.create(
            {SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "latentd"), SERVICE_VERSION: __version__}
        )
        self._provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(ratio)), resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_EXPORT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("latentd", __version__)
        self._propagator = TraceContextTextMapPropagator()
        # A collector that is away is told once per export, not with a traceback of the HTTP client.
        logging.getLogger("urllib3").setLevel(logging.ERROR)

    def begin(self, name: str, headers: Mapping[str, str], request_id: str) -> OtlpSpan | None:
        """See `service.tracing.Tracing`."""
        span = self._tracer.start_span(
            name,
            context=self._propagator.extract(headers),
            kind=SpanKind.SERVER,
            attributes={"latentd.request_id": request_id},
        )
        return OtlpSpan(span) if span.is_recording() else None

    @contextmanager
    def batch(self, model: str, rows: int, requests: Sequence[Span | None]) -> Iterator[None]:
        """See `service.tracing.Tracing`: a child of the first sampled request, linked both ways to all of them."""
        traced = [request.span for request in requests if isinstance(request, OtlpSpan)]
        if not traced:
            yield
            return
        with self._tracer.start_as_current_span(
            "batch",
            context=set_span_in_context(traced[0]),
            attributes={"latentd.model": model, "latentd.rows": rows, "latentd.requests": len(requests)},
            links=[Link(span.get_span_context()) for span in traced],
        ) as batch:
            for span in traced:
                if span.is_recording():  # else its client has gone
                    span.add_link(batch.get_span_context())
            yield

    def close(self) -> None:
        """See `service.tracing.Tracing`."""
        self._provider.shutdown()
