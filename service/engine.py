"""The one engine that every transport calls: a checked request in, images out."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Precision
from service.batcher import Batcher
from service.lanes import Rows
from service.metrics import Metrics
from service.registry import Registry, ServedModel
from service.sampling import SampleRequest, build_rows, check_priority, check_timeout

_Result = TypeVar("_Result")
_ON_LOOP_ROWS = 64


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


class Engine:
    """Resolves the model, checks and sizes the request, then queues it: one bad item never reaches a batch."""

    def __init__(
        self,
        registry: Registry,
        batcher: Batcher,
        metrics: Metrics,
        *,
        max_images: int,
        max_output_bytes: int = 256 << 20,
        timeout_s: float,
    ) -> None:
        self.registry = registry
        self._max_images = max_images
        self._max_output_bytes = max_output_bytes
        self._batcher = batcher
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._encoders = ThreadPoolExecutor(2, thread_name_prefix="encode")

    async def sample(self, request: SampleRequest) -> SampleResult:
        """Generate the images of `request`.

        Raises:
            ServiceError: see `service.errors`; every one names the field or says when to come back.
        """
        model = await self.registry.get(request.model)
        lane = model.lane(request.precision)
        rows = await self._rows(request, model)
        images = await self._batcher.run(
            lane,
            rows,
            priority=check_priority(request.priority),
            timeout_s=check_timeout(request.timeout_s, self._timeout_s),
        )
        precision = lane.generator.precision
        self._metrics.images.labels(model.name, str(model.version), precision).inc(rows.n)
        return SampleResult(model, precision, rows.seeds, rows.labels, images, int(time.time()))

    async def _rows(self, request: SampleRequest, model: ServedModel) -> Rows:
        """Checked rows; a large request, whose labels take milliseconds to draw, leaves the event loop free."""
        image_bytes = prod(model.manifest.output.shape)
        most = min(self._max_images, max(1, self._max_output_bytes // image_bytes))
        work = partial(build_rows, request, model.manifest, most)
        if (request.n or len(request.seeds or ())) <= _ON_LOOP_ROWS:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._encoders, work)

    async def encode(self, work: Callable[[], _Result], *, quick: bool = False) -> _Result:
        """Run `work` (turning arrays into bytes) in the encoder pool, off the event loop; `quick` work on it."""
        start = time.perf_counter()
        try:
            if quick:
                return work()
            return await asyncio.get_running_loop().run_in_executor(self._encoders, work)
        finally:
            self._metrics.stage_seconds["encode"].observe(time.perf_counter() - start)

    def close(self) -> None:
        """Stop the encoder pool; the batcher is closed by its owner."""
        self._encoders.shutdown()
