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
from collections.abc import Callable
from typing import Any

from runtime.generator import Generator
from service import observation
from service.computation import Computed, time_batch
from service.errors import DeadlineExceeded, Draining, Overloaded
from service.lanes import Images, Lane, Priority, Rows, Ticket
from service.metrics import Metrics
from service.observation import Observation
from service.schedule import Batch, Schedule
from service.tracing import NO_TRACING, Tracing
from service.workers import Outcome, Workers

_LOG = logging.getLogger(__name__)
_SMOOTHING = 0.1  # weight of the newest batch in the running estimate of seconds per row
_FASTER, _SLOWER = 0.5, 0.02  # likewise on all cores: one good time says more than a few that something disturbed
_ON_LOOP_S = 0.002  # longest batch for which the event loop may stand still, when nothing else is asked of it
_DEEP = 4.0  # times what a batch may take, where many wait
_LEAST_DEEP = 2  # rows that may share a batch there, however long one takes
_HARDLY_LONGER = 2.0  # times what one row takes: a batch may be filled up at the cost of those in it


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
        """Warm the generator up and choose its batch sizes: the largest powers of two within the time given, and within
        a few times of it for when many wait.

        Blocks for some batches; call it off the event loop.

        Args:
            wide: the same on several cores, for requests that come alone.
        """
        rows, single_s = 1, time_batch(generator, 1)
        best, best_rows, deep_rows = single_s, 1, min(_LEAST_DEEP, self._max_batch)
        while rows < self._max_batch:
            rows = min(rows * 2, self._max_batch)
            seconds = time_batch(generator, rows)
            if seconds > _DEEP * self._batch_s:
                break
            deep_rows = max(deep_rows, rows)
            if seconds <= self._batch_s:
                best, best_rows = seconds / rows, rows
        fills = best * best_rows < _HARDLY_LONGER * single_s
        lane = Lane(generator, best_rows, best, wide, deep_rows=deep_rows, fills=fills)
        if wide is not None:
            lane.wide_seconds_per_row = time_batch(wide, 1)
        return lane

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
    ) -> Images:
        """`submit`, awaited. Cancelling the awaiting task withdraws the request.

        Returns:
            uint8 ``[n, …]`` as `Generator.run` yields.

        Raises:
            ServiceError: see `submit`, before and after.
        """
        told = _Told(loop=self._loop)
        told.ticket = self.submit(
            lane,
            rows,
            told.settle,
            priority=priority,
            timeout_s=timeout_s,
            seen=observation.current(),
            seen_at_once=seen_at_once,
        )
        told.withdraw = self.withdraw
        try:
            return await told
        finally:
            del told.ticket  # which holds the images, and would do so until somebody collects garbage

    def submit(
        self,
        lane: Lane,
        rows: Rows,
        tell: Callable[[Images | Exception], None],
        *,
        priority: Priority = "interactive",
        timeout_s: float,
        seen: Observation,
        seen_at_once: bool = False,
    ) -> Ticket:
        """Queue `rows`; `tell` gets their images in their order, or what went wrong: `DeadlineExceeded`, or the error
        of a batch.

        Args:
            tell: called once, on the event loop, and possibly before this returns.
            timeout_s: refused at once where the backlog is longer, given up after it.
            seen: is told how long the rows waited and were computed, before `tell` is called.
            seen_at_once: whether requests that arrive together come here in one turn of the event loop, as those of
                HTTP do: only then is it known that one is alone, and it may be computed on the loop.

        Raises:
            Overloaded: the queue is full, or its backlog is longer than `timeout_s`.
            Draining: the batcher is closing.
        """
        self._admit(rows.n, timeout_s)
        ticket = Ticket(lane, rows, priority, tell, time.perf_counter(), seen)
        self._unfinished += 1
        self._emptied.clear()
        self._schedule.add(lane, ticket)
        ticket.expiry = self._loop.call_later(timeout_s, self._expire, ticket, timeout_s)
        self._wake(seen_at_once=seen_at_once)
        return ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Nobody waits for `ticket` any more: rows that have not started are forgotten, and `tell` is not called."""
        if not ticket.settled:
            self._metrics.rejected.labels("cancelled").inc()
            self._end(ticket)

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
        self._workers.collect()  # the last of its images may be there
        if ticket.settled:
            return
        self._metrics.rejected.labels("deadline").inc()
        self._settle(
            ticket,
            DeadlineExceeded(
                f"{ticket.done} of {ticket.rows.n} images were ready after {timeout_s:.3g} s, the request's limit"
            ),
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
                if not segment.ticket.settled:
                    self._settle(segment.ticket, outcome)
        else:
            start, offset, complete = time.perf_counter(), 0, []
            for segment in batch.segments:
                images = segment.deliver(outcome.images[offset : offset + len(segment)])
                offset += len(segment)
                if images is not None:
                    complete.append((segment.ticket, images))
            self._record(batch, outcome, time.perf_counter() - start)
            for ticket, images in complete:
                self._settle(ticket, images)
        self._note_if_empty()

    def _settle(self, ticket: Ticket, outcome: Images | Exception) -> None:
        self._end(ticket)
        try:
            ticket.tell(outcome)
        except Exception:  # noqa: BLE001 - the neighbours in its batch get theirs all the same
            _LOG.exception("request %s could not be told its outcome", ticket.seen.request_id)

    def _end(self, ticket: Ticket) -> None:
        """Nothing more will come of `ticket`."""
        ticket.settled = True
        if ticket.expiry is not None:
            ticket.expiry.cancel()
        if ticket.waiting:
            self._schedule.withdraw(ticket.lane, ticket)
        self._unfinished -= 1
        self._note_if_empty()
        ended = time.perf_counter()
        started = ticket.started or ended
        ticket.seen.queue_s += started - ticket.enqueued
        ticket.seen.run_s += ended - started

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
        if batch.generator is lane.wide:
            weight = _FASTER if per_row < lane.wide_seconds_per_row else _SLOWER
            lane.wide_seconds_per_row += weight * (per_row - lane.wide_seconds_per_row)
            return
        # A backlog is computed in full batches, of which a small one with its overhead tells only an upper bound.
        if 2 * batch.rows >= lane.max_rows or per_row < lane.seconds_per_row:
            lane.seconds_per_row += _SMOOTHING * (per_row - lane.seconds_per_row)


class _Told(asyncio.Future[Images]):
    """A submitted request as something to await; who stops waiting withdraws it there and then."""

    ticket: Ticket
    withdraw: Callable[[Ticket], None]

    def settle(self, outcome: Images | Exception) -> None:
        """See `Batcher.submit`."""
        if isinstance(outcome, Exception):
            self.set_exception(outcome)
        else:
            self.set_result(outcome)

    def cancel(self, msg: Any = None) -> bool:
        """See `asyncio.Future`."""
        if not self.done():
            self.withdraw(self.ticket)
        return super().cancel(msg)
