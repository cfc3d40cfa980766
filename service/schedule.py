"""What waits to be computed, and which part of it a free worker computes next. Safe to use from any thread.

Every loaded generator has a *lane*. A free worker takes the lane that has used least compute time (start-time fair
queueing, Goyal et al. 1997), so that one model's load cannot starve another's, and cuts a batch off its queues.
"""

import threading
import time
from dataclasses import dataclass

from runtime.generator import Generator
from service.lanes import Lane, Segment, Ticket

_ALONE = 4  # batches in a row that had the device to themselves, before one takes all of it
_MOST_UNTOLD = 16  # batches of long requests, which the event loop can do nothing with until it has the last
_TOGETHER = 2  # batches that the event loop is woken for, where many more of their kind wait
_ROUNDS = 2  # full batches for each worker, which are many


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that are computed together.

    Attributes:
        generator: the lane's own, or its wide one.
        cut: `time.perf_counter` when it was cut.
        rows: number of rows.
        reason: why it was cut when it was, of `service.metrics.DISPATCH_REASONS`.
    """

    lane: Lane
    segments: list[Segment]
    generator: Generator
    cut: float
    rows: int
    reason: str


class Schedule:
    """Rows of all lanes that wait, shared by `workers` workers.

    Attributes:
        reason: of batches that are not full, from now on.
    """

    def __init__(self, workers: int) -> None:
        self.reason = "idle"
        self._lock = threading.Lock()
        self._workers = workers
        self._free = workers  # that compute nothing
        self._asleep = list(range(workers))  # of the free ones, those that nobody has called yet, in the order of calls
        self._busy_lanes: dict[Lane, None] = {}  # lanes with rows waiting, in order of arrival
        self._virtual_s = 0.0  # `used` of the lane served last: where a lane begins that had nothing waiting
        self._queued_rows = 0
        self._alone = 0

    @property
    def queued_rows(self) -> int:
        """Rows that no worker has taken yet."""
        return self._queued_rows

    @property
    def inflight(self) -> int:
        """Batches being computed."""
        return self._workers - self._free

    @property
    def asleep(self) -> int:
        """Workers that wait to be called."""
        return len(self._asleep)

    @property
    def full(self) -> bool:
        """Whether some lane has a full batch waiting."""
        with self._lock:
            return any(lane.queued_rows >= lane.max_rows for lane in self._busy_lanes)

    def backlog_s(self) -> float:
        """Estimated seconds until everything now waiting has been computed."""
        if not self._queued_rows:
            return 0.0
        with self._lock:
            return sum(lane.queued_rows * lane.seconds_per_row for lane in self._busy_lanes) / self._workers

    def add(self, lane: Lane, ticket: Ticket) -> None:
        """Queue all rows of `ticket`."""
        with self._lock:
            if not lane.queued_rows:
                lane.used = max(lane.used, self._virtual_s)
            self._busy_lanes.setdefault(lane)
            lane.queues[ticket.priority].append(ticket)
            lane.queued_rows += ticket.rows.n
            self._queued_rows += ticket.rows.n

    def withdraw(self, lane: Lane, ticket: Ticket) -> None:
        """Forget rows that no worker has taken: the ticket failed, expired or lost its client."""
        with self._lock:
            rows, ticket.taken = ticket.waiting, ticket.rows.n
            if not rows:
                return
            lane.queues[ticket.priority].remove(ticket)
            self._left(lane, rows)

    def call(self) -> list[int]:
        """The sleeping workers that should be woken for what is waiting; they count as awake from now on.

        A request that is alone again and again gets the same one each time: it then stays on its core, and the other
        threads of a wide generator on theirs. Among several clients they take turns.
        """
        with self._lock:
            if self._alone >= _ALONE:
                self._asleep.sort()
            called = self._asleep[: self._queued_rows]
            del self._asleep[: self._queued_rows]
            return called

    def take(self, worker: int) -> Batch | None:
        """The next batch for `worker`, which is free, and busy from now on; None: it may sleep."""
        with self._lock:
            while self._busy_lanes:
                lane = min(self._busy_lanes, key=lambda candidate: candidate.used)
                share = -(-lane.queued_rows // self._workers)  # the busy ones soon want something too
                before = lane.queued_rows
                segments = lane.take(lane.batch_rows(share))
                self._queued_rows += lane.queued_rows - before
                if not lane.queued_rows:
                    del self._busy_lanes[lane]
                if segments:
                    return self._cut(lane, segments)
            self._asleep.append(worker)
            return None

    def take_alone(self, longest_s: float) -> Batch | None:
        """All that waits, where nobody else computes or has lately and it takes at most `longest_s`: for the event loop
        itself, which is as idle as everybody else and saves two hand-overs between threads."""
        with self._lock:
            if len(self._asleep) < self._workers or self._alone < _ALONE or len(self._busy_lanes) != 1:
                return None
            [lane] = self._busy_lanes
            rows = lane.queued_rows
            if rows > lane.max_rows or rows * lane.seconds_per_row > longest_s:
                return None
            segments = lane.take(rows)
            self._queued_rows += lane.queued_rows - rows
            del self._busy_lanes[lane]
            return self._cut(lane, segments) if segments else None

    def crowded(self) -> None:
        """Requests come several at a time: nobody is alone for a while."""
        self._alone = 0

    def release(self, batch: Batch) -> int:
        """`batch` has been computed, its worker is free again.

        Returns:
            How many computed batches, with this one, the event loop should be woken for. 1 where a request is complete
            or has ended otherwise, or nothing else is being computed; but 2 where many more of the same lane wait and
            nothing else does: each turn of the loop begins with cold caches, and what it takes is taken from all who
            wait. Many while nothing follows from them.
        """
        lane, follows = batch.lane, False
        with self._lock:
            self._free += 1
            for segment in batch.segments:
                ticket = segment.ticket
                ticket.computed += len(segment)
                follows |= ticket.computed == ticket.rows.n or ticket.settled or ticket.failed
            if self._free == self._workers:
                return 1
            if not follows:
                return _MOST_UNTOLD
            alike = len(self._busy_lanes) == 1 and not lane.queues["bulk"]
            many = lane.queued_rows >= _ROUNDS * self._workers * max(batch.rows, lane.max_rows)
            return _TOGETHER if alike and many else 1

    def _cut(self, lane: Lane, segments: list[Segment]) -> Batch:
        rows = sum(map(len, segments))
        self._virtual_s = lane.used
        lane.used += rows * lane.seconds_per_row
        alone = self._free == self._workers and not self._queued_rows
        self._alone = self._alone + 1 if alone else 0
        self._free -= 1
        generator = lane.fastest() if self._alone > _ALONE else lane.generator
        reason = "full" if rows >= lane.max_rows else self.reason
        now = time.perf_counter()
        for segment in segments:
            if segment.start == 0:
                segment.ticket.started = now
        return Batch(lane, segments, generator, now, rows, reason)

    def _left(self, lane: Lane, rows: int) -> None:
        lane.queued_rows -= rows
        self._queued_rows -= rows
        if not lane.queued_rows:
            self._busy_lanes.pop(lane, None)
