"""Rows of many requests share batches; each request gets its own rows back, in order.

The unit is the row (one image), not the request. Every loaded generator has a *lane*: two queues of tickets
(interactive, bulk) that are cut into batches. Worker threads are shared by all lanes; a free worker takes the
lane that has used least compute time (start-time fair queueing, Goyal et al. 1997), so one model's load cannot
starve another's. Within a lane interactive rows go first, but every `_BULK_TURN`-th batch begins with bulk rows.

Everything here runs on the event loop except `_compute`, which runs on a worker thread and touches only the
batch it was given.
"""

import asyncio
import logging
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from runtime.generator import Generator
from runtime.latents import latents_from_seeds
from service.errors import DeadlineExceeded, Draining, Overloaded
from service.metrics import Metrics

Priority = Literal["interactive", "bulk"]

_LOG = logging.getLogger(__name__)
_BULK_TURN = 8
_SMOOTHING = 0.1  # weight of the newest batch in the running estimate of seconds per row


@dataclass(frozen=True, slots=True)
class Rows:
    """Validated input of `n` images.

    Attributes:
        seeds: uint64 ``[n]``, or None where `latents` is given.
        latents: float32 ``[n, latent_dim]``, or None where `seeds` is given.
        labels: int64 ``[n]`` for a conditional model, else None.
        truncation: float32 ``[n]``, or None for no truncation.
    """

    n: int
    seeds: NDArray[np.uint64] | None
    latents: NDArray[np.float32] | None
    labels: NDArray[np.int64] | None
    truncation: NDArray[np.float32] | None


@dataclass(slots=True, eq=False)
class _Ticket:
    """One request in a lane: `taken` rows have gone into batches, `done` rows have come back."""

    rows: Rows
    priority: Priority
    future: "asyncio.Future[NDArray[np.uint8]]"
    enqueued: float
    taken: int = 0
    done: int = 0
    images: NDArray[np.uint8] | None = None

    @property
    def waiting(self) -> int:
        return self.rows.n - self.taken


@dataclass(frozen=True, slots=True)
class _Segment:
    """Rows ``start … stop - 1`` of a ticket, as part of a batch."""

    ticket: _Ticket
    start: int
    stop: int


@dataclass(slots=True, eq=False)
class Lane:
    """The queue of one loaded generator.

    Attributes:
        max_rows: most rows of a batch, from the measured compute time.
        seconds_per_row: running estimate of one worker's time per row.
    """

    generator: Generator
    max_rows: int
    seconds_per_row: float
    used: float = 0.0
    batches: int = 0
    queues: dict[Priority, deque[_Ticket]] = field(default_factory=lambda: {"interactive": deque(), "bulk": deque()})
    queued_rows: int = 0

    def take(self, most: int) -> list[_Segment]:
        """Cut up to `most` rows off the queues' heads; drops tickets that nobody waits for any more."""
        self.batches += 1
        bulk_first = self.batches % _BULK_TURN == 0
        order: tuple[Priority, Priority] = ("bulk", "interactive") if bulk_first else ("interactive", "bulk")
        segments: list[_Segment] = []
        for priority in order:
            queue = self.queues[priority]
            while queue and most:
                ticket = queue[0]
                if ticket.future.done():  # failed, expired or cancelled; its task has not run yet to withdraw it
                    self.queued_rows -= ticket.waiting
                    ticket.taken = ticket.rows.n
                    queue.popleft()
                    continue
                count = min(ticket.waiting, most)
                if count:
                    segments.append(_Segment(ticket, ticket.taken, ticket.taken + count))
                    ticket.taken += count
                    most -= count
                    self.queued_rows -= count
                if not ticket.waiting:
                    queue.popleft()
        return segments


class Batcher:
    """Shares `threads` workers among lanes. Make it and call it on one event loop."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        threads: int,
        queue_limit: int,
        batch_s: float,
        max_batch: int,
        delay_s: float = 0.0,
    ) -> None:
        self._metrics = metrics
        self._loop = asyncio.get_running_loop()
        self._threads = threads
        self._idle = threads
        self._workers = ThreadPoolExecutor(threads, thread_name_prefix="infer")
        self._queue_limit = queue_limit
        self._batch_s = batch_s
        self._max_batch = max_batch
        self._delay_s = delay_s
        self._delay: asyncio.TimerHandle | None = None
        self._busy_lanes: dict[Lane, None] = {}  # lanes with rows waiting, in order of arrival
        self._virtual_s = 0.0  # `used` of the lane served last: where a lane begins that had nothing waiting
        self._queued_rows = 0
        self._inflight = 0
        self._draining = False
        self._emptied = asyncio.Event()
        self._emptied.set()
        metrics.queue_limit_rows.set(queue_limit)

    def open_lane(self, generator: Generator) -> Lane:
        """Warm the generator up and choose its batch size: the largest power of two within the time given.

        Blocks for some batches; call it off the event loop.
        """
        rows, seconds_per_row = 1, _time_batch(generator, 1)
        best, best_rows = seconds_per_row, 1
        while rows < self._max_batch:
            rows = min(rows * 2, self._max_batch)
            seconds = _time_batch(generator, rows)
            if seconds > self._batch_s:
                break
            best, best_rows = seconds / rows, rows
        return Lane(generator, best_rows, best)

    def backlog_s(self) -> float:
        """Estimated seconds until everything now waiting has been computed."""
        return sum(lane.queued_rows * lane.seconds_per_row for lane in self._busy_lanes) / self._threads

    async def run(
        self, lane: Lane, rows: Rows, *, priority: Priority = "interactive", timeout_s: float
    ) -> NDArray[np.uint8]:
        """Images of `rows`, in their order.

        Cancelling the awaiting task removes the rows that have not started.

        Args:
            timeout_s: refused at once where the backlog is longer, given up after it.

        Returns:
            uint8 ``[n, …]`` as `Generator.run` yields.

        Raises:
            Overloaded: the queue is full, or its backlog is longer than `timeout_s`.
            Draining: the batcher is closing.
            DeadlineExceeded: `timeout_s` passed.
        """
        self._admit(rows.n, timeout_s)
        ticket = _Ticket(rows, priority, self._loop.create_future(), time.perf_counter())
        if not lane.queued_rows:
            lane.used = max(lane.used, self._virtual_s)
        self._busy_lanes.setdefault(lane)
        lane.queues[priority].append(ticket)
        lane.queued_rows += rows.n
        self._count(rows.n)
        expiry = self._loop.call_later(timeout_s, self._expire, ticket, timeout_s)
        self._wake()
        try:
            return await ticket.future
        except asyncio.CancelledError:
            self._metrics.rejected.labels("cancelled").inc()
            raise
        finally:
            expiry.cancel()
            self._withdraw(lane, ticket)

    async def close(self) -> None:
        """Take nothing new, finish what is queued, stop the workers."""
        self._draining = True
        self._wake()
        await self._emptied.wait()
        self._workers.shutdown()

    def _admit(self, n: int, timeout_s: float) -> None:
        backlog = self.backlog_s()
        if self._draining:
            self._metrics.rejected.labels("draining").inc()
            raise Draining("the server is shutting down", retry_after_s=max(1.0, backlog))
        if self._queued_rows + n > self._queue_limit:
            self._metrics.rejected.labels("queue_full").inc()
            raise Overloaded(
                f"the queue holds {self._queued_rows} of at most {self._queue_limit} images, {n} more do not fit",
                retry_after_s=backlog,
            )
        if backlog > timeout_s:
            self._metrics.rejected.labels("deadline").inc()
            raise Overloaded(
                f"the backlog takes {backlog:.2f} s, this request may wait {timeout_s:.2f} s",
                retry_after_s=backlog - timeout_s,
            )

    def _count(self, rows: int) -> None:
        self._queued_rows += rows
        self._metrics.queue_rows.set(self._queued_rows)
        if self._queued_rows or self._inflight:
            self._emptied.clear()
        else:
            self._emptied.set()

    def _expire(self, ticket: _Ticket, timeout_s: float) -> None:
        if not ticket.future.done():
            self._metrics.rejected.labels("deadline").inc()
            ticket.future.set_exception(
                DeadlineExceeded(
                    f"{ticket.done} of {ticket.rows.n} images were ready after {timeout_s:.3g} s, the request's limit"
                )
            )

    def _withdraw(self, lane: Lane, ticket: _Ticket) -> None:
        """Forget rows that never started: the ticket failed, expired or lost its client."""
        if not ticket.waiting:
            return
        rows, ticket.taken = ticket.waiting, ticket.rows.n
        lane.queued_rows -= rows
        lane.queues[ticket.priority].remove(ticket)
        if not lane.queued_rows:
            self._busy_lanes.pop(lane, None)
        self._count(-rows)

    def _wake(self) -> None:
        """Give work to idle workers; with a delay set, first let a completely idle device wait for company."""
        if self._delay_s and not self._inflight and not self._draining:
            full = any(lane.queued_rows >= lane.max_rows for lane in self._busy_lanes)
            if not full:
                if self._delay is None and self._busy_lanes:
                    self._delay = self._loop.call_later(self._delay_s, self._dispatch, "delay")
                return
        self._dispatch("drain" if self._draining else "idle")

    def _dispatch(self, reason: str) -> None:
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        while self._idle and self._busy_lanes:
            lane = min(self._busy_lanes, key=lambda candidate: candidate.used)
            share = -(-lane.queued_rows // self._idle)
            queued = lane.queued_rows
            segments = lane.take(min(lane.max_rows, share))
            if not lane.queued_rows:
                del self._busy_lanes[lane]
            if not segments:
                self._count(lane.queued_rows - queued)
                continue
            rows = sum(segment.stop - segment.start for segment in segments)
            now = time.perf_counter()
            for segment in segments:
                if segment.start == 0:
                    self._metrics.queue_seconds.observe(now - segment.ticket.enqueued)
            self._virtual_s = lane.used
            lane.used += rows * lane.seconds_per_row
            self._idle -= 1
            self._inflight += 1
            self._count(lane.queued_rows - queued)
            self._metrics.inflight_batches.set(self._inflight)
            self._metrics.batch_rows.observe(rows)
            self._metrics.dispatch.labels("full" if rows == lane.max_rows else reason).inc()
            self._workers.submit(self._work, lane, segments)

    def _work(self, lane: Lane, segments: list[_Segment]) -> None:
        """On a worker thread: compute, then hand the outcome to the event loop, whatever it is."""
        outcome: _Computed | Exception
        try:
            outcome = _compute(lane.generator, segments)
        except Exception as error:  # noqa: BLE001 - the batch fails, the worker lives on
            outcome = error
        self._loop.call_soon_threadsafe(self._finish, lane, segments, outcome)

    def _finish(self, lane: Lane, segments: list[_Segment], outcome: "_Computed | Exception") -> None:
        self._idle += 1
        self._inflight -= 1
        self._metrics.inflight_batches.set(self._inflight)
        if isinstance(outcome, Exception):
            _LOG.error("batch of %s failed: %r", lane.generator.manifest.reference, outcome)
            for segment in segments:
                if not segment.ticket.future.done():
                    segment.ticket.future.set_exception(outcome)
        else:
            self._record(lane, outcome)
            start, offset = time.perf_counter(), 0
            for segment in segments:
                count = segment.stop - segment.start
                _deliver(segment, outcome.images[offset : offset + count])
                offset += count
            self._metrics.compute_seconds.labels("output").observe(time.perf_counter() - start)
        self._count(0)
        self._wake()

    def _record(self, lane: Lane, computed: "_Computed") -> None:
        for stage, seconds in (("input", computed.input_s), ("run", computed.run_s)):
            self._metrics.compute_seconds.labels(stage).observe(seconds)
        per_row = (computed.input_s + computed.run_s) / len(computed.images)
        # A backlog is computed in full batches, of which a small one with its overhead tells only an upper bound.
        if 2 * len(computed.images) >= lane.max_rows or per_row < lane.seconds_per_row:
            lane.seconds_per_row += _SMOOTHING * (per_row - lane.seconds_per_row)


@dataclass(frozen=True, slots=True)
class _Computed:
    images: NDArray[np.uint8]
    input_s: float
    run_s: float


def _compute(generator: Generator, segments: list[_Segment]) -> _Computed:
    start = time.perf_counter()
    latents = _latents(segments, generator.manifest.latent.dim)
    labels = _join([_part(segment, segment.ticket.rows.labels) for segment in segments])
    ready = time.perf_counter()
    images = generator.run(latents, labels if generator.conditional else None)
    if len(images) != len(latents):
        raise RuntimeError(f"{generator.manifest.reference} yields {len(images)} images for {len(latents)} rows")
    return _Computed(images, ready - start, time.perf_counter() - ready)


def _latents(segments: list[_Segment], dim: int) -> NDArray[np.float32]:
    """Latents of the batch: those of seeds drawn in one go, given ones copied in, both truncated."""
    seeds = [_part(segment, segment.ticket.rows.seeds) for segment in segments]
    drawn = latents_from_seeds(list(chain.from_iterable(part for part in seeds if part is not None)), dim)
    parts, cursor = [], 0
    for segment, seeded in zip(segments, seeds, strict=True):
        rows = segment.ticket.rows
        if seeded is None:
            assert rows.latents is not None
            part = rows.latents[segment.start : segment.stop]
        else:
            part = drawn[cursor : cursor + len(seeded)]
            cursor += len(seeded)
        truncation = _part(segment, rows.truncation)
        parts.append(part if truncation is None else part * truncation[:, None])
    return np.ascontiguousarray(np.concatenate(parts) if len(parts) > 1 else parts[0])


_Element = TypeVar("_Element", bound=np.generic)


def _part(segment: _Segment, column: NDArray[_Element] | None) -> NDArray[_Element] | None:
    return None if column is None else column[segment.start : segment.stop]


def _join(parts: list[NDArray[_Element] | None]) -> NDArray[_Element] | None:
    present = [part for part in parts if part is not None]
    return np.concatenate(present) if present else None


def _deliver(segment: _Segment, images: NDArray[np.uint8]) -> None:
    ticket = segment.ticket
    if ticket.future.done():  # expired, cancelled, or failed with another batch
        return
    if len(images) == ticket.rows.n:
        ticket.future.set_result(images)
        return
    if ticket.images is None:
        ticket.images = np.empty((ticket.rows.n, *images.shape[1:]), dtype=np.uint8)
    ticket.images[segment.start : segment.stop] = images
    ticket.done += len(images)
    if ticket.done == ticket.rows.n:
        ticket.future.set_result(ticket.images)


def _time_batch(generator: Generator, rows: int, repeats: int = 3) -> float:
    """Seconds of a batch of `rows`, best of `repeats` after one warm-up."""
    seeds = np.arange(rows, dtype=np.uint64)
    generator.sample(seeds)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        generator.sample(seeds)
        seconds.append(time.perf_counter() - start)
    return min(seconds)
