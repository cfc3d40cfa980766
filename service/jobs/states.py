"""The states of a job, and which may follow which.

::

    queued ──> running ──> finalizing ──> succeeded
      │  ^       │  │          └────────> failed
      │  │       │  └──> failed
      │  │       ├─────> cancelling ────> cancelled
      │  │       └─────> pausing ───────> paused ──> queued
      └──┴── (a lost lease: back to queued)

`cancelling` and `pausing` are wishes that the runner has not fulfilled yet. From `finalizing` on, when the result is
being published, it is too late for either.
"""

from typing import Literal, get_args

State = Literal[
    "queued", "running", "pausing", "paused", "cancelling", "finalizing", "succeeded", "failed", "cancelled"
]
STATES: tuple[State, ...] = get_args(State)

HELD: tuple[State, ...] = ("running", "pausing", "cancelling", "finalizing")
"""States in which a runner holds a lease."""

FINAL: tuple[State, ...] = ("succeeded", "failed", "cancelled")
"""States that nothing follows."""

NEXT: dict[State, frozenset[State]] = {
    "queued": frozenset({"running", "paused", "cancelled", "failed"}),
    "running": frozenset({"queued", "pausing", "cancelling", "finalizing", "failed"}),
    "pausing": frozenset({"paused", "queued", "cancelling", "finalizing", "failed"}),
    "paused": frozenset({"queued", "cancelled"}),
    "cancelling": frozenset({"cancelled"}),
    "finalizing": frozenset({"succeeded", "failed"}),
    "succeeded": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
}

ON_WIRE: dict[State, str] = {
    **{state: state for state in STATES},
    "pausing": "running",
    "finalizing": "running",
    "cancelling": "cancelled",  # it can no longer become anything else
}
"""The status words of the wire contract."""


def check_step(before: State, after: State) -> None:
    """Assert that `after` may follow `before`: a program error otherwise."""
    assert after in NEXT[before], f"a job that is {before} cannot become {after}"
