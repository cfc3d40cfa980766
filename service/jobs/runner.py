"""The one interface behind which processes of jobs run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


class CannotStart(Exception):
    """A process could not be started; the text says why."""


class RunnerUnavailable(Exception):
    """Whoever runs the processes cannot be asked now; the text says why. It may be again later."""


@dataclass(frozen=True)
class Launch:
    """What is to run.

    Attributes:
        name: of the job and its attempt, unique.
        folder: the job's, see `service.jobs.folder`.
        slot: 0 … slots - 1; says which GPU, where there are any.
        environment: added to the runner's own.
    """

    name: str
    folder: Path
    command: Sequence[str]
    slot: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How a process ended: by itself with `code`, or by `signal`."""

    code: int = 0
    signal: int | None = None

    def __str__(self) -> str:
        return f"its process was ended by signal {self.signal}" if self.signal else f"exit code {self.code}"


class Runner(Protocol):
    """Runs processes. Calls come from one thread; all may raise `RunnerUnavailable`."""

    def start(self, launch: Launch) -> str:
        """Start a process; returns the handle that the other calls take.

        Raises:
            CannotStart: it could not be.
        """
        ...

    def poll(self, handle: str) -> Ended | None:
        """How it ended; None while it runs."""
        ...

    def stop(self, handle: str, *, gently: bool) -> None:
        """Ask it to save and end (`gently`), or end it at once with all that it has started. Does not wait."""
        ...

    def reap(self, handle: str) -> None:
        """Forget a process that has ended, after ending what it left behind."""
        ...

    def clear(self, folder: Path) -> None:
        """End what an earlier attempt, of a runner that is gone, may have left running in `folder`."""
        ...
