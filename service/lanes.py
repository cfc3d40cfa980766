"""What waits for a batch: the rows of a request, and the queues of a loaded generator they wait in."""

from asyncio import TimerHandle
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runtime.generator import Generator
from runtime.latents import labels_from_seeds
from service.observation import Observation
from service.statistics import LaneStatistics

Priority = Literal["interactive", "bulk"]
Images = NDArray[np.uint8]

_WIDE_GAIN = 0.85  # of one worker's time: what all cores together must at least achieve
_TRIED_EVERY = 32  # lone batches
_PASSED_OVER = 7  # batches in a row without the bulk rows that wait, before these go first


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
    """One request in a lane: `taken` rows have gone into batches, `computed` have come out, `done` have been delivered.

    Attributes:
        tell: called once, on the event loop, with all images or with what went wrong.
        enqueued: when it joined, on the clock of `time.perf_counter`.
        seen: the request, for whoever records it.
        expiry: ends it when its time is over.
        started: when its first batch was cut; None while it waits.
        failed: set by the worker whose batch failed, which `tell` is told a moment later.
        settled: whether `tell` was called, or nobody waits any more.
    """

    lane: "Lane"
    rows: Rows
    priority: Priority
    tell: Callable[[Images | Exception], None]
    enqueued: float
    seen: Observation
    expiry: TimerHandle | None = None
    started: float | None = None
    taken: int = 0
    computed: int = 0
    done: int = 0
    failed: bool = False
    settled: bool = False
    images: Images | None = None

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

    def deliver(self, images: Images) -> Images | None:
        """Hand the ticket its part.

        Returns:
            All images of the ticket, once they are complete.
        """
        ticket = self.ticket
        if ticket.settled:  # expired, cancelled, or failed with another batch
            return None
        if len(images) == ticket.rows.n:
            return images
        if ticket.images is None:
            ticket.images = np.empty((ticket.rows.n, *images.shape[1:]), dtype=np.uint8)
        ticket.images[self.start : self.stop] = images
        ticket.done += len(images)
        return ticket.images if ticket.done == ticket.rows.n else None


@dataclass(slots=True, eq=False)
class Lane:
    """The queue of one loaded generator.

    Attributes:
        max_rows: most rows of a batch, from the measured compute time.
        deep_rows: likewise, where many interactive rows wait.
        seconds_per_row: running estimate of one worker's time per row.
        wide: the same generator on several cores, for a request that comes alone.
        wide_seconds_per_row: running estimate of its time per row.
        lone: batches so far that had the machine to themselves.
        passed_over: batches in a row that left out the bulk rows that waited.
        fills: whether bulk rows fill up a batch of interactive ones, which then wait for all of it.
    """

    generator: Generator
    max_rows: int
    seconds_per_row: float
    wide: Generator | None = None
    wide_seconds_per_row: float = 0.0
    lone: int = 0
    deep_rows: int = 0
    fills: bool = True
    used: float = 0.0
    passed_over: int = 0
    queues: dict[Priority, deque[Ticket]] = field(default_factory=lambda: {"interactive": deque(), "bulk": deque()})
    queued_rows: int = 0
    statistics: LaneStatistics = field(default_factory=LaneStatistics)

    def fastest(self) -> Generator:
        """For a batch that has the machine to itself: all cores where they are worth it, by what was measured lately.

        What uses the other cores meanwhile may be another program, and gone soon: now and then they are tried anyhow.
        """
        self.lone += 1
        worth_it = self.wide_seconds_per_row < _WIDE_GAIN * self.seconds_per_row
        return self.wide if self.wide is not None and (worth_it or self.lone % _TRIED_EVERY == 0) else self.generator

    def batch_rows(self, share: int) -> int:
        """Most rows of the next batch, where each worker's share of what waits is `share`.

        A batch has fixed costs, so where many wait, a longer one serves them sooner: half of that share at most, and
        no bulk rows, which would hold up interactive ones to come.
        """
        deep = 0 if self.queues["bulk"] else min(self.deep_rows, share // 2)
        return min(share, max(self.max_rows, deep))

    def take(self, most: int) -> list[Segment]:
        """Cut up to `most` rows off the queues' heads; drops tickets that nobody waits for any more."""
        bulk_first = self.passed_over >= _PASSED_OVER
        order: tuple[Priority, Priority] = ("bulk", "interactive") if bulk_first else ("interactive", "bulk")
        segments: list[Segment] = []
        for priority in order:
            queue = self.queues[priority]
            if segments and priority == "bulk" and not self.fills:
                break
            while queue and most:
                ticket = queue[0]
                if ticket.failed or ticket.settled:
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
        bulk = any(segment.ticket.priority == "bulk" for segment in segments)
        self.passed_over = 0 if bulk or not self.queues["bulk"] else self.passed_over + 1
        return segments
