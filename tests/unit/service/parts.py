"""Real parts of the server put together in-process: a generator that can be held up, a batcher, an engine."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from runtime.generator import Generator
from runtime.manifest import Precision
from runtime.package import Package
from runtime.store import DirectoryStore
from service.batcher import Batcher
from service.engine import Engine
from service.lanes import Rows
from service.metrics import Metrics
from service.registry import Registry

Latents = NDArray[np.float32]


class HeldGenerator(Generator):
    """A real generator that notes its batches, waits while `gate` is shut, and fails where `fails` says so."""

    def __init__(self, package: Package, precision: Precision = "fp32") -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Event()
        self.batches: list[Latents] = []
        self.fails: Callable[[Latents], bool] = lambda latents: False
        self.shuts_at: int | None = None  # the batch whose beginning shuts the gate
        super().__init__(package, precision)
        self.forget()

    def forget(self) -> None:
        """Begin a new list of batches."""
        self.shuts_at = None
        self.batches.clear()
        self.started.clear()

    def run(self, latents: Latents, labels: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        self.batches.append(latents)
        if len(self.batches) == self.shuts_at:
            self.gate.clear()
        self.started.set()
        assert self.gate.wait(20), "nobody opened the gate"
        if self.fails(latents):
            raise RuntimeError("the device is on fire")
        return super().run(latents, labels)

    @property
    def sizes(self) -> list[int]:
        """Rows of each batch so far."""
        return [len(batch) for batch in self.batches]

    @property
    def marks(self) -> list[list[int]]:
        """The marks (see `marked`) of each batch's rows."""
        return [[round(float(value)) for value in batch[:, 0]] for batch in self.batches]


def seeded(*seeds: int, label: int = 0) -> Rows:
    """Rows of these seeds, all of one class."""
    n = len(seeds)
    return Rows(n, np.array(seeds, dtype=np.uint64), None, np.full(n, label, dtype=np.int64), None)


def marked(mark: int, n: int = 1) -> Rows:
    """Rows whose first latent number is `mark`, so that a batch shows whose rows it holds."""
    latents = np.full((n, 16), 0.5, dtype=np.float32)
    latents[:, 0] = mark
    return Rows(n, None, latents, np.zeros(n, dtype=np.int64), None)


def new_metrics() -> Metrics:
    """Metrics on a registry of their own."""
    return Metrics(CollectorRegistry())


def value_of(metrics: Metrics, name: str, **labels: str) -> float:
    """One sample of the registry; absent is an error."""
    value = metrics.registry.get_sample_value(name, labels)
    assert value is not None, f"no sample {name}{labels}"
    return value


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop and the worker threads run until `condition()`."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "it never came to that"
        await asyncio.sleep(0.001)


@asynccontextmanager
async def running_batcher(
    metrics: Metrics | None = None,
    *,
    threads: int = 1,
    queue_limit: int = 1000,
    max_batch: int = 8,
    batch_s: float = 1.0,
    delay_s: float = 0.0,
) -> AsyncIterator[Batcher]:
    """A batcher that is closed, hence drained, on leaving."""
    batcher = Batcher(
        metrics or new_metrics(),
        threads=threads,
        queue_limit=queue_limit,
        batch_s=batch_s,
        max_batch=max_batch,
        delay_s=delay_s,
    )
    try:
        yield batcher
    finally:
        await batcher.close()


@asynccontextmanager
async def running_engine(
    store: DirectoryStore,
    metrics: Metrics | None = None,
    *,
    default_model: str | None = None,
    max_images: int = 64,
    timeout_s: float = 20.0,
) -> AsyncIterator[Engine]:
    """An engine over the models of `store`, already scanned."""
    metrics = metrics or new_metrics()
    async with running_batcher(metrics, threads=2) as batcher:
        registry = Registry(store, batcher, metrics, default_model)
        await registry.refresh()
        engine = Engine(registry, batcher, metrics, max_images=max_images, timeout_s=timeout_s)
        try:
            yield engine
        finally:
            engine.close()
