"""Rows of many requests share batches; each request gets its own rows back, in order.

The unit is the row (one image), not the request. Requests wait in the schedule; a free worker cuts the next batch off
it, computes it, and the event loop hands every request its part. Within a lane interactive rows go first, by
themselves where a full batch takes much longer than one of them; but now and then a batch begins with bulk rows. A
request that is alone again and again, and small, is computed by the event loop itself: nobody else waits for it, and
two hand-overs between threads take as long as a small image.
"""

import asyncio
import logging
import time

import numpy as np
from numpy.typing import NDArray

from runtime.generator import Generator
from service import observation
from service.computation import Computed, time_batch
from service.errors import DeadlineExceeded, Draining, Overloaded
from service.lanes import Lane, Priority, Rows, Ticket
from service.metrics import Metrics
from service.schedule import Batch, Schedule
from service.tracing import NO_TRACING, Tracing
from service.workers import Outcome, Workers

_LOG = logging.getLogger(__name__)
_SMOOTHING = 0.1  # weight of the newest batch in the running estimate of seconds per row
_ON_LOOP_S = 0.002  # longest batch for which the event loop may stand still, when nothing else is asked of it
_HARDLY_LONGER = 2.0  # times what one row takes: a batch may be filled up at the cost of those in it
_WIDE_GAIN = 0.85  # of the time of one row: what all cores together must at least achieve


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
        self._loop = asyncio.get_running_loop()
        self._schedule = Schedule(threads)
        self._workers = Workers(self._schedule, threads, self._finish, tracing)
        self._queue_limit = queue_limit
        self._batch_s = batch_s
        self._max_batch = max_batch
        self._delay_s = delay_s
        self._delay: asyncio.TimerHandle | None = None
        self._waking = False
        self._unfinished = 0  # requests
        self._draining = False
        self._emptied = asyncio.Event()
        self._emptied.set()
        metrics.queue_limit_rows.set(queue_limit)
        metrics.queue_rows.set_function(lambda: self._schedule.queued_rows)
        metrics.inflight_batches.set_function(lambda: self._schedule.inflight)

    def open_lane(self, generator: Generator, wide: Generator | None = None) -> Lane:
        """Warm the generator up and choose its batch size: the largest power of two within the time given.

        Blocks for some batches; call it off the event loop.

        Args:
            wide: the same on several cores, for requests that come alone; not kept where it is hardly faster.
        """
        rows, single_s = 1, time_batch(generator, 1)
        if wide is not None and time_batch(wide, 1) > _WIDE_GAIN * single_s:
            wide = None
        best, best_rows = single_s, 1
        while rows < self._max_batch:
            rows = min(rows * 2, self._max_batch)
            seconds = time_batch(generator, rows)
            if seconds > self._batch_s:
                break
            best, best_rows = seconds / rows, rows
        return Lane(generator, best_rows, best, wide, fills=best * best_rows < _HARDLY_LONGER * single_s)

    def backlog_s(self) -> float:
        """Estimated seconds until everything now waiting has been computed."""
        return self._schedule.backlog_s()

    async def run(
        self,
        lane: Lane,
        rows: Rows,
        *,
        priority: Priority = "interactive",
        timeout_s: float,
        seen_at_once: bool = False,
    ) -> NDArray[np.uint8]:
        """Images of `rows`, in their order.

        Cancelling the awaiting task removes the rows that have not started.

        Args:
            timeout_s: refused at once where the backlog is longer, given up after it.
            seen_at_once: whether requests that arrive together come here in one turn of the event loop, as those of
                HTTP do: only then is it known that one is alone, and it may be computed on the loop.

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
        self._unfinished += 1
        self._emptied.clear()
        self._schedule.add(lane, ticket)
        expiry = self._loop.call_later(timeout_s, self._expire, ticket, timeout_s)
        self._wake(seen_at_once=seen_at_once)
        try:
            return await ticket.future
        except asyncio.CancelledError:
            self._metrics.rejected.labels("cancelled").inc()
            raise
        finally:
            expiry.cancel()
            if ticket.waiting:
                self._schedule.withdraw(lane, ticket)
            self._unfinished -= 1
            self._note_if_empty()
            ended = time.perf_counter()
            started = ticket.started or ended
            seen.queue_s += started - ticket.enqueued
            seen.run_s += ended - started

    async def close(self) -> None:
        """Take nothing new, finish what is queued, stop the workers."""
        self._draining = True
        self._wake()
        await self._emptied.wait()
        self._workers.close()

    def _admit(self, n: int, timeout_s: float) -> None:
        backlog = self.backlog_s()
        if self._draining:
            self._metrics.rejected.labels("draining").inc()
            raise Draining("the server is shutting down", retry_after_s=max(1.0, backlog))
        queued = self._schedule.queued_rows
        if queued + n > self._queue_limit:
            self._metrics.rejected.labels("queue_full").inc()
            raise Overloaded(
                f"the queue holds {queued} of at most {self._queue_limit} images, {n} more do not fit",
                retry_after_s=backlog,
            )
        if backlog > timeout_s:
            self._metrics.rejected.labels("deadline").inc()
            raise Overloaded(
                f"the backlog takes {backlog:.2f} s, this request may wait {timeout_s:.2f} s",
                retry_after_s=backlog - timeout_s,
            )

    def _expire(self, ticket: Ticket, timeout_s: float) -> None:
        if not ticket.future.done():
            self._metrics.rejected.labels("deadline").inc()
            ticket.future.set_exception(
                DeadlineExceeded(
                    f"{ticket.done} of {ticket.rows.n} images were ready after {timeout_s:.3g} s, the request's limit"
                )
            )

    def _wake(self, *, seen_at_once: bool = False) -> None:
        """Call idle workers once all that arrived in this turn of the event loop is queued: it makes fuller batches.

        A request that is alone again and again is computed at once, but no second one in the same turn.
        """
        if not self._schedule.asleep:
            self._schedule.reason = self._reason
        elif not self._waking:
            self._waking = True
            self._loop.call_soon(self._wake_now)
            self._schedule.reason = self._reason
            alone = self._schedule.take_alone(_ON_LOOP_S) if seen_at_once and not self._delay_s else None
            if alone is not None:
                self._workers.compute_here(alone)
        else:
            self._schedule.crowded()

    @property
    def _reason(self) -> str:
        return "drain" if self._draining else "idle"

    def _wake_now(self) -> None:
        """With a delay set, first let a completely idle device wait for company."""
        self._waking = False
        if not self._schedule.queued_rows:
            return
        if self._delay_s and not self._schedule.inflight and not self._draining and not self._schedule.full:
            if self._delay is None and self._schedule.queued_rows:
                self._delay = self._loop.call_later(self._delay_s, self._call, "delay")
            return
        self._call(self._reason)

    def _call(self, reason: str) -> None:
        if self._delay is not None:
            self._delay.cancel()
            self._delay = None
        self._schedule.reason = reason
        self._workers.call()

    def _finish(self, batch: Batch, outcome: Outcome) -> None:
        if isinstance(outcome, Exception):
            _LOG.error("batch of %s failed: %r", batch.lane.generator.manifest.reference, outcome)
            for segment in batch.segments:
                if not segment.ticket.future.done():
                    segment.ticket.future.set_exception(outcome)
        else:
            start, offset = time.perf_counter(), 0
            for segment in batch.segments:
                segment.deliver(outcome.images[offset : offset + len(segment)])
                offset += len(segment)
            self._record(batch, outcome, time.perf_counter() - start)
        self._note_if_empty()

    def _note_if_empty(self) -> None:
        if not self._unfinished and not self._schedule.inflight:
            self._emptied.set()

    def _record(self, batch: Batch, computed: Computed, output_s: float) -> None:
        metrics, lane = self._metrics, batch.lane
        for segment in batch.segments:
            if segment.start == 0:
                metrics.queue_seconds.observe(batch.cut - segment.ticket.enqueued)
                lane.statistics.queue.add(batch.cut - segment.ticket.enqueued)
        metrics.batch_rows.observe(batch.rows)
        metrics.dispatched[batch.reason].inc()
        for stage, seconds in (("input", computed.input_s), ("run", computed.run_s), ("output", output_s)):
            metrics.stage_seconds[stage].observe(seconds)
        lane.statistics.record(batch.rows, computed.input_s, computed.run_s, output_s)
        per_row = (computed.input_s + computed.run_s) / batch.rows
        if batch.generator is not lane.generator:
            return  # on all cores it takes less time than one worker would
        # A backlog is computed in full batches, of which a small one with its overhead tells only an upper bound.
        if 2 * batch.rows >= lane.max_rows or per_row < lane.seconds_per_row:
            lane.seconds_per_row += _SMOOTHING * (per_row - lane.seconds_per_row)
