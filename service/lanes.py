"""What waits for a batch: the rows of a request, and the queues of a loaded generator they wait in."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runtime.generator import Generator
from runtime.latents import labels_from_seeds
from service.statistics import LaneStatistics
from service.tracing import Span

Priority = Literal["interactive", "bulk"]

_BULK_TURN = 8  # every so many batches bulk rows go first


@dataclass(frozen=True, slots=True)
class Rows:
    """Validated input of `n` images.

    Attributes:
        seeds: uint64 ``[n]``, or None where `latents` is given.
        latents: float32 ``[n, latent_dim]``, or None where `seeds` is given.
        labels: int64 ``[n]`` for a conditional model, else None.
        truncation: float32 ``[n]``, or None for no truncation.
        label_classes: where above 0, `labels` is None and each `part` draws its own from its seeds.
    """

    n: int
    seeds: NDArray[np.uint64] | None
    latents: NDArray[np.float32] | None
    labels: NDArray[np.int64] | None
    truncation: NDArray[np.float32] | None
    label_classes: int = 0

    def part(self, start: int, stop: int) -> "Rows":
        """Rows ``start … stop - 1``."""
        rows = slice(start, stop)
        labels = None if self.labels is None else self.labels[rows]
        if self.label_classes:
            assert self.seeds is not None
            labels = labels_from_seeds(self.seeds[rows], self.label_classes)
        return Rows(
            n=stop - start,
            seeds=None if self.seeds is None else self.seeds[rows],
            latents=None if self.latents is None else self.latents[rows],
            labels=labels,
            truncation=None if self.truncation is None else self.truncation[rows],
        )


@dataclass(slots=True, eq=False)
class Ticket:
    """One request in a lane: `taken` rows have gone into batches, `done` rows have come back.

    Attributes:
        enqueued: when it joined, on the clock of `time.perf_counter`.
        span: the request's, where it is traced.
        started: when its first batch was cut; None while it waits.
        failed: set by the worker whose batch failed, which `future` learns of a moment later.
    """

    rows: Rows
    priority: Priority
    future: "asyncio.Future[NDArray[np.uint8]]"
    enqueued: float
    span: Span | None = None
    started: float | None = None
    taken: int = 0
    done: int = 0
    failed: bool = False
    images: NDArray[np.uint8] | None = None

    @property
    def waiting(self) -> int:
        """Rows that are in no batch yet."""
        return self.rows.n - self.taken


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows ``start … stop - 1`` of a ticket, as part of a batch."""

    ticket: Ticket
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def deliver(self, images: NDArray[np.uint8]) -> None:
        """Hand the ticket its part; the one that completes it resolves its future."""
        ticket = self.ticket
        if ticket.future.done():  # expired, cancelled, or failed with another batch
            return
        if len(images) == ticket.rows.n:
            ticket.future.set_result(images)
            return
        if ticket.images is None:
            ticket.images = np.empty((ticket.rows.n, *images.shape[1:]), dtype=np.uint8)
        ticket.images[self.start : self.stop] = images
        ticket.done += len(images)
        if ticket.done == ticket.rows.n:
            ticket.future.set_result(ticket.images)


@dataclass(slots=True, eq=False)
class Lane:
    """The queue of one loaded generator.

    Attributes:
        max_rows: most rows of a batch, from the measured compute time.
        seconds_per_row: running estimate of one worker's time per row.
        wide: the same generator on several cores, for a request that comes alone; None: it gains nothing.
        fills: whether bulk rows fill up a batch of interactive ones, which then wait for all of it.
    """

    generator: Generator
    max_rows: int
    seconds_per_row: float
    wide: Generator | None = None
    fills: bool = True
    used: float = 0.0
    batches: int = 0
    queues: dict[Priority, deque[Ticket]] = field(default_factory=lambda: {"interactive": deque(), "bulk": deque()})
    queued_rows: int = 0
    statistics: LaneStatistics = field(default_factory=LaneStatistics)

    def take(self, most: int) -> list[Segment]:
        """Cut up to `most` rows off the queues' heads; drops tickets that nobody waits for any more."""
        self.batches += 1
        bulk_first = self.batches % _BULK_TURN == 0
        order: tuple[Priority, Priority] = ("bulk", "interactive") if bulk_first else ("interactive", "bulk")
        segments: list[Segment] = []
        for priority in order:
            queue = self.queues[priority]
            if segments and priority == "bulk" and not self.fills:
                break
            while queue and most:
                ticket = queue[0]
                if ticket.failed or ticket.future.done():  # or expired, or cancelled: its task has yet to withdraw it
                    self.queued_rows -= ticket.waiting
                    ticket.taken = ticket.rows.n
                    queue.popleft()
                    continue
                count = min(ticket.waiting, most)
                if count:
                    segments.append(Segment(ticket, ticket.taken, ticket.taken + count))
                    ticket.taken += count
                    most -= count
                    self.queued_rows -= count
                if not ticket.waiting:
                    queue.popleft()
        return segments
