"""What is learnt about one request on its way through the server: for its log line, its metrics, its trace.

The outermost layer of each transport makes an observation, the layers below add what they know. It travels in a
context variable, so that nobody has to hand it on.
"""

from contextvars import ContextVar
from dataclasses import dataclass

from service.tracing import Span


@dataclass(slots=True)
class Observation:
    """One request.

    Attributes:
        request_id: as the client is told it.
        key_id: id of the API key it came with, never the key; empty without one.
        model: name of the model that was asked for, once it is known to exist: a client cannot make one up.
        version: of that model.
        rows: images asked for.
        queue_s: seconds from joining the queue to the start of its first batch.
        run_s: seconds from there to the last of its images.
        span: its span, where it is traced.
    """

    request_id: str
    key_id: str = ""
    model: str = ""
    version: str = ""
    rows: int = 0
    queue_s: float = 0.0
    run_s: float = 0.0
    span: Span | None = None


_CURRENT: ContextVar[Observation] = ContextVar("observation")


def observe(seen: Observation) -> None:
    """Make `seen` the observation of the current task and of those that it starts."""
    _CURRENT.set(seen)


def current() -> Observation:
    """The observation of the current request; outside of any, one that nobody will read."""
    return _CURRENT.get(None) or Observation("")
