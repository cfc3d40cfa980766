"""The server's share of what onnxruntime yields in this process, in the same run.

The limit: one caller per core on one single-threaded session, batches of 4, latents drawn from seeds. The client
runs on the same cores as the server, so its own cost is part of what is lost.
"""

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runtime.generator import Generator
from runtime.package import Package
from runtime.store import DirectoryStore
from tests.kit.load import closed_loop
from tests.kit.server import running_server
from tests.kit.tiny_package import publish_tiny

SECONDS = 2.0
ROUNDS = 3


def raw_limit(package: Package) -> float:
    """Images per second of onnxruntime alone."""
    generator = Generator(package, "fp32")
    cores = len(os.sched_getaffinity(0))
    end = time.perf_counter() + SECONDS

    def work(worker: int) -> int:
        images, seeds = 0, np.arange(4, dtype=np.uint64) + 4 * worker
        while time.perf_counter() < end:
            images += len(generator.sample(seeds))
        return images

    with ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(work, range(cores))) / SECONDS


def served(url: str, *, n: int, concurrency: int) -> float:
    """Images per second over HTTP, raw bytes, `n` per request."""
    body: dict[str, object] = {"n": n, "seed": 0, "format": "raw", "precision": "fp32"}
    load = closed_loop(f"{url}/v1/samples", body, concurrency=concurrency, seconds=SECONDS)
    return load.rate * n


@pytest.mark.parametrize(("n", "concurrency", "floor"), [(1, 32, 0.3), (16, 8, 0.6)])
def test_share_of_the_limit(
    tmp_path: Path, report: Callable[[str], None], n: int, concurrency: int, floor: float
) -> None:
    store = DirectoryStore(tmp_path / "models")
    package = publish_tiny(store, delay=10)
    shares, rates = [], []
    with running_server(store.root, tmp_path / "state") as server:
        for _ in range(ROUNDS):
            rate = served(server.http, n=n, concurrency=concurrency)
            limit = raw_limit(package)
            rates.append(rate)
            shares.append(rate / limit)
    share = statistics.median(shares)
    report(
        f"HTTP raw, {n} images × {concurrency} clients: {statistics.median(rates):,.0f} images/s, "
        f"{share:.2f} of the limit (rounds {', '.join(f'{value:.2f}' for value in shares)})"
    )
    assert share >= floor
