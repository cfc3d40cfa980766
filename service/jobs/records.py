"""What the store hands out: jobs, events, pages, as they were when they were read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from service.jobs.states import FINAL, ON_WIRE, State

Kind = Literal["fine_tuning", "dataset"]
Level = Literal["info", "warn", "error"]
ID_PREFIXES: dict[Kind, str] = {"fine_tuning": "ftjob", "dataset": "dataset"}

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Job:
    """A job.

    Attributes:
        number: order of making.
        request: what was asked, checked and with every default settled; its form depends on `kind`.
        created_at: seconds since the epoch, like every time here.
        result: what a job that succeeded made; its form depends on `kind`.
        error: ``code`` and ``message`` of one that failed.
        attempt: how often it was started.
        failures: attempts in a row that ended without progress.
        last_event: sequence number of its newest event; events are 1, 2, … without a gap.
        tail: sequence number of the last line taken from its process's event file.
    """

    number: int
    id: str
    kind: Kind
    state: State
    request: Mapping[str, Any]
    created_at: float
    started_at: float | None
    finished_at: float | None
    result: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    attempt: int
    worker: str | None
    failures: int
    last_event: int
    tail: int

    @property
    def status(self) -> str:
        """The word of the wire contract."""
        return ON_WIRE[self.state]

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self.state in FINAL


@dataclass(frozen=True)
class NewEvent:
    """An event that has no number yet.

    Attributes:
        type: ``message``, ``metrics``, ``progress``, ``samples`` or ``checkpoint``.
        created_at: None: when it is written.
    """

    message: str
    level: Level = "info"
    type: str = "message"
    data: Mapping[str, Any] | None = None
    created_at: float | None = None


@dataclass(frozen=True)
class Event:
    """Event `sequence` of a job."""

    sequence: int
    created_at: float
    level: Level
    type: str
    message: str
    data: Mapping[str, Any] | None


@dataclass(frozen=True)
class Page(Generic[_Item]):
    """Some items, newest first, and whether there are older ones."""

    items: list[_Item] = field(default_factory=list)
    has_more: bool = False
