"""Rows of many requests share batches; each request gets its own rows back, in order.

The unit is the row (one image), not the request. Every loaded generator has a *lane*: two queues of tickets
(interactive, bulk) that are cut into batches. Worker threads are shared by all lanes; a free worker takes the
lane that has used least compute time (start-time fair queueing, Goyal et al. 1997), so one model's load cannot
starve another's. Within a lane interactive rows go first, but now and then a batch begins with bulk rows.

Everything here runs on the event loop except `compute`, which runs on a worker thread and touches only the batch
it was given.
"""

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from runtime.generator import Generator
from service import observation
from service.computation import Computed, compute, time_batch
from service.errors import DeadlineExceeded, Draining, Overloaded
from service.lanes import Lane, Priority, Rows, Segment, Ticket
from service.metrics import Metrics
from service.tracing import NO_TRACING, Tracing

_LOG = logging.getLogger(__name__)
_SMOOTHING = 0.1  # weight of the newest batch in the running estimate of seconds per row


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
        tracing: Tracing = NO_TRACING,
    ) -> None:
        self._metrics = metrics
        self._tracing = tracing
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
        rows, seconds_per_row = 1, time_batch(generator, 1)
        best, best_rows = seconds_per_row, 1
        while rows < self._max_batch:
            rows = min(rows * 2, self._max_batch)
            seconds = time_batch(generator, rows)
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
        seen = observation.current()
        ticket = Ticket(rows, priority, self._loop.create_future(), time.perf_counter(), seen.span)
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
            ended = time.perf_counter()
            started = ticket.started or ended
            seen.queue_s += started - ticket.enqueued
            seen.run_s += ended - started

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

    def _expire(self, ticket: Ticket, timeout_s: float) -> None:
        if not ticket.future.done():
            self._metrics.rejected.labels("deadline").inc()
            ticket.future.set_exception(
                DeadlineExceeded(
                    f"{ticket.done} of {ticket.rows.n} images were ready after {timeout_s:.3g} s, the request's limit"
                )
            )

    def _withdraw(self, lane: Lane, ticket: Ticket) -> None:
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
            rows = sum(map(len, segments))
            now = time.perf_counter()
            for segment in segments:
                if segment.start == 0:
                    segment.ticket.started = now
                    self._metrics.queue_seconds.observe(now - segment.ticket.enqueued)
                    lane.statistics.queue.add(now - segment.ticket.enqueued)
            self._virtual_s = lane.used
            lane.used += rows * lane.seconds_per_row
            self._idle -= 1
            self._inflight += 1
            self._count(lane.queued_rows - queued)
            self._metrics.inflight_batches.set(self._inflight)
            self._metrics.batch_rows.observe(rows)
            self._metrics.dispatch.labels("full" if rows == lane.max_rows else reason).inc()
            self._workers.submit(self._work, lane, segments)

    def _work(self, lane: Lane, segments: list[Segment]) -> None:
        """On a worker thread: compute, then hand the outcome to the event loop, whatever it is."""
        outcome: Computed | Exception
        try:
            spans = [segment.ticket.span for segment in segments]
            with self._tracing.batch(lane.generator.manifest.reference, sum(map(len, segments)), spans):
                outcome = compute(lane.generator, segments)
        except Exception as error:  # noqa: BLE001 - the batch fails, the worker lives on
            outcome = error
        self._loop.call_soon_threadsafe(self._finish, lane, segments, outcome)

    def _finish(self, lane: Lane, segments: list[Segment], outcome: "Computed | Exception") -> None:
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
                segment.deliver(outcome.images[offset : offset + len(segment)])
                offset += len(segment)
            self._metrics.compute_seconds.labels("output").observe(time.perf_counter() - start)
            lane.statistics.output.add(time.perf_counter() - start)
        self._count(0)
        self._wake()

    def _record(self, lane: Lane, computed: "Computed") -> None:
        for stage, seconds in (("input", computed.input_s), ("run", computed.run_s)):
            self._metrics.compute_seconds.labels(stage).observe(seconds)
        lane.statistics.rows += len(computed.images)
        lane.statistics.input.add(computed.input_s)
        lane.statistics.run.add(computed.run_s)
        per_row = (computed.input_s + computed.run_s) / len(computed.images)
        # A backlog is computed in full batches, of which a small one with its overhead tells only an upper bound.
        if 2 * len(computed.images) >= lane.max_rows or per_row < lane.seconds_per_row:
            lane.seconds_per_row += _SMOOTHING * (per_row - lane.seconds_per_row)
