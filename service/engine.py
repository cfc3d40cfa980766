"""The one engine that every transport calls: a checked request in, images out."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Precision
from service import observation
from service.access import current_caller
from service.batcher import Batcher
from service.errors import DeadlineExceeded, Overloaded, ServiceError
from service.lanes import Images, Lane, Priority, Rows
from service.metrics import Metrics
from service.observation import Observation
from service.quotas import Quotas
from service.registry import Registry
from service.sampling import SampleRequest, build_rows, check_priority, check_timeout
from service.served_models import ServedModel

_Result = TypeVar("_Result")
ON_LOOP_ROWS = 64
"""Requests of more are checked in another thread."""
_PARTS_AHEAD = 4  # parts of a stream that are queued before the client has taken those before them


@dataclass(frozen=True, slots=True)
class SampleResult:
    """Images with everything that names them.

    Attributes:
        seeds: uint64 ``[n]``, None where latents were given.
        labels: int64 ``[n]``, None for an unconditional model.
        images: uint8 ``[n, H, W, C]``, or ``[n, T, H, W, C]`` for sequences.
        created: seconds since the epoch.
    """

    model: ServedModel
    precision: Precision
    seeds: NDArray[np.uint64] | None
    labels: NDArray[np.int64] | None
    images: NDArray[np.uint8]
    created: int

    def seed(self, row: int) -> int | None:
        """Row seed of image `row`."""
        return None if self.seeds is None else int(self.seeds[row])

    def label(self, row: int) -> int | None:
        """Class index of image `row`."""
        return None if self.labels is None else int(self.labels[row])


@dataclass(frozen=True, slots=True)
class _Checked:
    """A request that may be queued: `deadline` is on the clock of `time.perf_counter`, infinite without an end."""

    model: ServedModel
    lane: Lane
    rows: Rows
    priority: Priority
    deadline: float


class Engine:
    """Resolves the model, checks and sizes the request, then queues it: one bad item never reaches a batch."""

    def __init__(
        self,
        registry: Registry,
        batcher: Batcher,
        metrics: Metrics,
        *,
        max_images: int,
        max_stream_images: int = 100_000,
        max_output_bytes: int = 256 << 20,
        timeout_s: float,
        quotas: Quotas | None = None,
    ) -> None:
        self.registry = registry
        self.max_images = max_images
        self._max_stream_images = max_stream_images
        self._max_output_bytes = max_output_bytes
        self._batcher = batcher
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._quotas = quotas or Quotas(metrics)
        self._encoders = ThreadPoolExecutor(2, thread_name_prefix="encode")

    async def sample(
        self, request: SampleRequest, model: ServedModel | None = None, *, seen_at_once: bool = False
    ) -> SampleResult:
        """Generate the images of `request`.

        Args:
            model: what `request.model` was found to mean, where the caller has asked already: the bare name or alias
                may mean another version by now.
            seen_at_once: see `Batcher.run`.

        Raises:
            ServiceError: see `service.errors`; every one names the field or says when to come back.
        """
        model = model or await self.registry.get(request.model)
        start, ok = time.perf_counter(), False
        try:
            end = start + check_timeout(request.timeout_s, self._timeout_s)
            checked = await self._check(request, model, self._most(model), end)
            with self._quotas.charged(current_caller(), checked.rows.n):
                result = await self._run(checked, checked.rows, seen_at_once=seen_at_once)
            ok = True
            return result
        finally:
            model.statistics.record(time.perf_counter() - start, ok=ok)

    def submit(
        self,
        request: SampleRequest,
        model: ServedModel,
        tell: Callable[[SampleResult | Exception], None],
        *,
        seen: Observation,
    ) -> Callable[[], None]:
        """`sample` of a few rows for a caller without limits, at once and without a task.

        Args:
            tell: called once, on the event loop, and possibly before this returns.
            seen: the request.

        Returns:
            What to call when nobody waits any more.

        Raises:
            ServiceError: as `sample` does before it waits.
        """
        start = time.perf_counter()

        def told(outcome: Images | Exception) -> None:
            failed = isinstance(outcome, Exception)
            model.statistics.record(time.perf_counter() - start, ok=not failed)
            tell(outcome if isinstance(outcome, Exception) else self._result(checked, checked.rows, outcome))

        def withdraw() -> None:
            if not ticket.settled:
                self._batcher.withdraw(ticket)
                model.statistics.record(time.perf_counter() - start, ok=False)

        try:
            timeout_s = check_timeout(request.timeout_s, self._timeout_s)
            checked = _check(request, model, self._most(model), start + timeout_s, seen)
            ticket = self._batcher.submit(
                checked.lane,
                checked.rows,
                told,
                priority=checked.priority,
                timeout_s=timeout_s,
                seen=seen,
                seen_at_once=True,
            )
        except ServiceError:
            model.statistics.record(time.perf_counter() - start, ok=False)
            raise
        return withdraw

    async def stream(self, request: SampleRequest, model: ServedModel | None = None) -> AsyncGenerator[SampleResult]:
        """The images of `request` in their order, some at a time, each as soon as it is ready.

        A few parts are computed ahead of what has been taken, so that a slow client holds little memory; where the
        queue is full for a later part, it is tried again until its time is over. Each part has the server's time of a
        request; a time that the client gave is that of all of them. Close the iterator (`contextlib.aclosing`) to
        withdraw what has not started.

        Raises:
            ServiceError: with the first item whatever `sample` raises; later the deadline, or a failed batch.
        """
        model = model or await self.registry.get(request.model)
        start, ok = time.perf_counter(), False
        pending: deque[asyncio.Task[SampleResult]] = deque()
        try:
            given = request.timeout_s
            end = inf if given is None else time.perf_counter() + check_timeout(given, given)
            checked = await self._check(request, model, self._max_stream_images, end, labels_by_part=True)
            n, size = checked.rows.n, checked.lane.max_rows
            with self._quotas.charged(current_caller(), n):
                first = await self._run(checked, checked.rows.part(0, min(size, n)))
            starts = deque(range(size, n, size))
            yield first
            while starts or pending:
                while starts and len(pending) < _PARTS_AHEAD:
                    part = checked.rows.part(starts[0], min(starts.popleft() + size, n))
                    pending.append(asyncio.create_task(self._run_when_admitted(checked, part)))
                yield await pending[0]
                pending.popleft()
            ok = True
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
            model.statistics.record(time.perf_counter() - start, ok=ok)

    async def encode(self, work: Callable[[], _Result], *, quick: bool = False) -> _Result:
        """Run `work` (turning arrays into bytes) in the encoder pool, off the event loop; `quick` work on it."""
        if quick:
            return self.encode_here(work)
        start = time.perf_counter()
        try:
            return await self.off_loop(work)
        finally:
            self._metrics.stage_seconds["encode"].observe(time.perf_counter() - start)

    def encode_here(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` on the event loop: it is quick."""
        start = time.perf_counter()
        try:
            return work()
        finally:
            self._metrics.stage_seconds["encode"].observe(time.perf_counter() - start)

    async def off_loop(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` in the encoder pool; for whatever else takes milliseconds."""
        return await asyncio.get_running_loop().run_in_executor(self._encoders, work)

    def close(self) -> None:
        """Stop the encoder pool; the batcher is closed by its owner."""
        self._encoders.shutdown()

    async def _check(
        self, request: SampleRequest, model: ServedModel, most: int, end: float, *, labels_by_part: bool = False
    ) -> _Checked:
        """Checked rows; a large request, whose labels take milliseconds to draw, leaves the event loop free."""
        work = partial(_check, request, model, most, end, observation.current(), labels_by_part=labels_by_part)
        small = (request.n or len(request.seeds or ())) <= ON_LOOP_ROWS
        return work() if small else await self.off_loop(work)

    def _most(self, model: ServedModel) -> int:
        """Images of one request."""
        return min(self.max_images, max(1, self._max_output_bytes // model.image_bytes))

    async def _run(self, checked: _Checked, rows: Rows, *, seen_at_once: bool = False) -> SampleResult:
        timeout_s = min(checked.deadline - time.perf_counter(), self._timeout_s)
        if timeout_s <= 0:
            raise DeadlineExceeded("the request's time was over before all of its images were queued")
        images = await self._batcher.run(
            checked.lane, rows, priority=checked.priority, timeout_s=timeout_s, seen_at_once=seen_at_once
        )
        return self._result(checked, rows, images)

    def _result(self, checked: _Checked, rows: Rows, images: Images) -> SampleResult:
        model, precision = checked.model, checked.lane.generator.precision
        self._metrics.images_of(model.name, model.version_text, precision).inc(rows.n)
        return SampleResult(model, precision, rows.seeds, rows.labels, images, int(time.time()))

    async def _run_when_admitted(self, checked: _Checked, rows: Rows) -> SampleResult:
        end = min(checked.deadline, time.perf_counter() + self._timeout_s)
        while True:
            try:
                return await self._run(checked, rows)
            except Overloaded as busy:
                if time.perf_counter() + busy.retry_after_s > end:
                    raise
                await asyncio.sleep(max(0.005, busy.retry_after_s))


def _check(
    request: SampleRequest,
    model: ServedModel,
    most: int,
    end: float,
    seen: Observation,
    *,
    labels_by_part: bool = False,
) -> _Checked:
    seen.model, seen.version = model.name, model.version_text
    lane = model.lane(request.precision)
    rows = build_rows(request, model.manifest, most, labels_by_part=labels_by_part)
    seen.rows += rows.n
    return _Checked(model, lane, rows, check_priority(request.priority), end)
