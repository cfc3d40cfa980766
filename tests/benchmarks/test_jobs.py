"""What a job that takes every core does to those who sample meanwhile: no errors, at most twice the latency."""

import statistics
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from runtime.store import DirectoryStore
from service.client.lean_http import closed_loop
from tests.kit.processes import wait_for
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

pytestmark = pytest.mark.slow  # its figures need a machine that does nothing else

SECONDS, ROUNDS, CLIENTS = 4.0, 3, 2
BODY: dict[str, object] = {"n": 1, "seed": 0, "format": "raw"}


def percentile_99(server: ServerProcess) -> float:
    """Seconds; the load itself asserts that every answer is 200."""
    load = closed_loop(f"{server.http}/v1/samples", BODY, concurrency=CLIENTS, seconds=SECONDS)
    return sorted(load.latencies)[int(0.99 * len(load.latencies))]


def test_latency_beside_a_job(tmp_path: Path, report: Callable[[str], None]) -> None:
    store = DirectoryStore(tmp_path / "models")
    publish_tiny(store, delay=10, precisions=("fp32",))
    ratios, alone, beside = [], [], []
    with running_server(store.root, tmp_path / "state") as server:
        percentile_99(server)
        for _ in range(ROUNDS):
            alone.append(percentile_99(server))
            job = httpx.post(f"{server.http}/v1/datasets", json={"n": 1_000_000, "format": "webdataset"}).json()["id"]
            path = f"{server.http}/v1/datasets/{job}"
            wait_for(lambda path=path: "progress" in httpx.get(f"{path}/events").text, 60.0, what="its progress")  # type: ignore[misc]
            beside.append(percentile_99(server))
            assert httpx.get(path).json()["status"] == "running"
            httpx.post(f"{path}/cancel")
            wait_for(lambda path=path: httpx.get(path).json()["state"] == "cancelled", what="its end")  # type: ignore[misc]
            ratios.append(beside[-1] / alone[-1])
    report(
        f"p99 of {CLIENTS} clients: {statistics.median(alone) * 1e3:.2f} ms alone, "
        f"{statistics.median(beside) * 1e3:.2f} ms beside a job (ratios {', '.join(f'{r:.2f}' for r in ratios)})"
    )
    assert statistics.median(ratios) <= 2.0
