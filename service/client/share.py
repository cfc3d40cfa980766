"""What share of onnxruntime's own throughput reaches the clients of a server, in one run on one machine.

The limit is one caller per core on one single-threaded session in this process, with batches of four rows whose latents
are drawn from seeds. Limit and server take turns, so that a machine that slows down slows down both; the medians of the
rounds are compared. The clients run on the server's own cores here: what they cost is part of what is lost.
"""

import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import onnxruntime

from runtime.generator import Generator
from runtime.manifest import Precision
from runtime.package import Package
from service.client import lean_http
from service.client.connection import Connection
from service.client.latencies import duration, percentiles
from service.client.load import Load
from service.cores import available_cores

_BATCH = 4


@dataclass(frozen=True)
class Case:
    """One way of asking.

    Attributes:
        layout: of HTTP's answer: ``raw`` bytes, or all images in one ``png`` grid.
    """

    transport: Literal["HTTP", "gRPC"]
    n: int
    concurrency: int
    layout: Literal["raw", "png"] = "raw"


CASES = (
    *(Case("HTTP", 1, concurrency) for concurrency in (1, 8, 32, 128)),
    *(Case("gRPC", 1, concurrency) for concurrency in (1, 32)),
    Case("HTTP", 16, 8),
    Case("HTTP", 16, 8, "png"),
)


@dataclass
class Share:
    """What the rounds of one case found.

    Attributes:
        rates: images per second, one of each round.
        limits: likewise, of onnxruntime alone just before.
        latencies: seconds of all answers.
    """

    case: Case
    rates: list[float] = field(default_factory=list)
    limits: list[float] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        """The median of the rounds."""
        return statistics.median(rate / limit for rate, limit in zip(self.rates, self.limits, strict=True))


def raw_limit(package: Package, precision: Precision, seconds: float) -> float:
    """Images per second of onnxruntime alone."""
    generator, cores = Generator(package, precision), available_cores()
    start = time.perf_counter()

    def work(worker: int) -> float:
        images, seeds = 0, np.arange(_BATCH, dtype=np.uint64) + _BATCH * worker
        while (passed := time.perf_counter() - start) < seconds:
            images += len(generator.sample(seeds))
        return images / passed

    with ThreadPoolExecutor(cores) as pool:
        return sum(pool.map(work, range(cores)))


def measure(
    connection: Connection,
    package: Package,
    precision: Precision,
    *,
    seconds: float,
    rounds: int,
    cases: Sequence[Case] = CASES,
    progress: Callable[[], object] = lambda: None,
) -> list[Share]:
    """Every case that `connection` has an address for, `rounds` times.

    Args:
        seconds: of each measurement, of which there are two per case and round.
        progress: called after each.

    Raises:
        UnexpectedAnswer: the server answered anything but images.
        OSError: it cannot be reached.
    """
    shares = [Share(case) for case in cases if case.transport == "HTTP" or connection.grpc]
    for _ in range(rounds):
        for share in shares:
            limit = raw_limit(package, precision, seconds)
            load = _load(connection, package.manifest.reference, precision, share.case, seconds)
            share.limits.append(limit)
            share.rates.append(load.rate * share.case.n)
            share.latencies += load.latencies
            progress()
    return shares


def table(shares: Sequence[Share], package: Package, precision: Precision) -> str:
    """A table in Markdown, under what it was measured with."""
    limit = statistics.median(limit for share in shares for limit in share.limits)
    return "\n".join(
        [
            f"{package.manifest.reference} {precision}: onnxruntime alone makes {limit:,.0f} images/s on "
            f"{available_cores()} cores ({platform.machine()}, onnxruntime {onnxruntime.__version__})",
            "",
            "| transport | images per request | clients | images/s | share of the limit | p50 | p99 |",
            "|---|--:|--:|--:|--:|--:|--:|",
            *_rows(shares),
        ]
    )


def _rows(shares: Sequence[Share]) -> Iterator[str]:
    for share in shares:
        case, found = share.case, percentiles(share.latencies)
        n = f"{case.n}, one PNG grid" if case.layout == "png" else f"{case.n}"
        rate = statistics.median(share.rates)
        yield (
            f"| {case.transport} | {n} | {case.concurrency} | {rate:,.0f} | {share.share:.2f} | "
            f"{duration(found['p50'])} | {duration(found['p99'])} |"
        )


def _load(connection: Connection, model: str, precision: Precision, case: Case, seconds: float) -> Load:
    if case.transport == "gRPC":
        return _over_grpc(connection, model, precision, case, seconds)
    body: dict[str, object] = {"model": model, "n": case.n, "seed": 0, "precision": precision, "format": case.layout}
    headers = {"Authorization": f"Bearer {connection.api_key}"} if connection.api_key else {}
    if case.layout == "png":
        headers["Accept"] = "image/png"
    url = f"{connection.url.rstrip('/')}/v1/samples"
    return lean_http.closed_loop(url, body, concurrency=case.concurrency, seconds=seconds, headers=headers)


def _over_grpc(connection: Connection, model: str, precision: Precision, case: Case, seconds: float) -> Load:
    from service.client import lean_grpc
    from service.grpc_api._generated.latentd_v1_generation_pb2 import Precision as Precisions
    from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest

    assert connection.grpc is not None
    number = Precisions.Value(f"PRECISION_{precision.upper()}")
    message = SampleRequest(model=model, n=case.n, seed=0, precision=number).SerializeToString()
    return lean_grpc.closed_loop(
        connection.grpc,
        "/latentd.v1.Generation/Sample",
        message,
        concurrency=case.concurrency,
        seconds=seconds,
        metadata=connection.metadata(),
    )
