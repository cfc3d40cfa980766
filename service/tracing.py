"""Spans of requests and of the batches that they share. Without an endpoint nothing is recorded.

A request's span is a child of the caller's (W3C `traceparent`). A batch serves many requests, so its span is linked to
each of theirs, and each of theirs to it: from either the other can be found.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Span(Protocol):
    """The span of one request, which is sampled."""

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits, as a trace store takes them."""

    def end(self, name: str, code: str, attributes: Mapping[str, str | int | float]) -> None:
        """Close the span under its final name.

        Args:
            code: HTTP status or gRPC status name; the server's own failures mark the span as an error.
        """


class Tracing(Protocol):
    """What the transports and the batcher call."""

    def begin(self, name: str, headers: Mapping[str, str], request_id: str) -> Span | None:
        """A span for a request that has just come; None where it is not sampled."""

    def batch(self, model: str, rows: int, requests: Sequence[Span | None]) -> AbstractContextManager[object]:
        """A span around the computation of a batch, where at least one of its `requests` is sampled."""

    def close(self) -> None:
        """Send what is left, for a few seconds at most."""


class NoTracing:
    """Tracing that is switched off."""

    _nothing = nullcontext()

    def begin(self, name: str, headers: Mapping[str, str], request_id: str) -> None:
        """Nothing is sampled."""

    def batch(self, model: str, rows: int, requests: Sequence[Span | None]) -> AbstractContextManager[object]:
        """See `Tracing`."""
        return self._nothing

    def close(self) -> None:
        """Nothing is left."""


NO_TRACING = NoTracing()
