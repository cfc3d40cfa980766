"""Threads that compute batches, one after the other, and hand the outcomes to the event loop.

A worker that has computed a batch takes the next one itself: it never waits for the event loop, whose turn may be long
while requests arrive. Nor does it wake it for every batch; see `Schedule.release`.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

from service.computation import Computed, compute
from service.schedule import Batch, Schedule
from service.tracing import NO_TRACING, Tracing

Outcome = Computed | Exception


class Workers:
    """`threads` workers of one schedule; made and called on the event loop."""

    def __init__(
        self,
        schedule: Schedule,
        threads: int,
        finish: Callable[[Batch, Outcome], None],
        tracing: Tracing = NO_TRACING,
    ) -> None:
        """`finish` is called on the event loop, once for each batch."""
        self._schedule, self._finish, self._tracing = schedule, finish, tracing
        self._loop = asyncio.get_running_loop()
        self._calls: list[SimpleQueue[bool]] = [SimpleQueue() for _ in range(threads)]
        self._outcomes: deque[tuple[Batch, Outcome]] = deque()
        self._told = False  # whether the event loop knows that there are outcomes
        self._threads = [
            threading.Thread(target=self._work, args=(i,), name=f"infer-{i}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def call(self) -> None:
        """Wake as many workers as there is work for."""
        for worker in self._schedule.call():
            self._calls[worker].put(True)

    def compute_here(self, batch: Batch) -> None:
        """Compute `batch` on the event loop."""
        outcome = self._computed(batch)
        self._schedule.release(batch)
        self._finish(batch, outcome)

    def collect(self) -> None:
        """Finish whatever has been computed by now."""
        self._told = False  # first, so that what is appended from now on is told of again
        while self._outcomes:
            self._finish(*self._outcomes.popleft())

    def close(self) -> None:
        """End the threads; nothing may be waiting any more."""
        for calls in self._calls:
            calls.put(False)
        for thread in self._threads:
            thread.join()

    def _work(self, worker: int) -> None:
        while self._calls[worker].get():
            while (batch := self._schedule.take(worker)) is not None:
                self._deliver(batch, self._computed(batch))

    def _computed(self, batch: Batch) -> Outcome:
        try:
            spans = [segment.ticket.seen.span for segment in batch.segments]
            with self._tracing.batch(batch.lane.generator.manifest.reference, batch.rows, spans):
                return compute(batch.generator, batch.segments)
        except Exception as error:  # noqa: BLE001 - the batch fails, the worker lives on
            for segment in batch.segments:
                segment.ticket.failed = True  # before anybody takes more of its rows
            return error

    def _deliver(self, batch: Batch, outcome: Outcome) -> None:
        self._outcomes.append((batch, outcome))
        enough = self._schedule.release(batch)
        if not self._told and len(self._outcomes) >= enough:
            self._told = True
            self._loop.call_soon_threadsafe(self.collect)
