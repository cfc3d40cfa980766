"""What a job that takes every core does to those who sample meanwhile: no errors, at most twice the latency."""

import statistics
from collections.abc import Callable

import httpx
import pytest

from service.client.lean_http import closed_loop
from tests.kit.processes import wait_for
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny
from tests.scenario.test_training_faults import Workplace, base, place
from tests.scenario.test_training_faults import submit as submit_fine_tuning

__all__ = ["base", "place"]

pytestmark = pytest.mark.slow  # its figures need a machine that does nothing else

SECONDS, ROUNDS, CLIENTS = 4.0, 3, 2
BODY: dict[str, object] = {"n": 1, "seed": 0, "format": "raw"}


def percentile_99(server: ServerProcess) -> float:
    """Seconds; the load itself asserts that every answer is 200."""
    load = closed_loop(f"{server.http}/v1/samples", BODY, concurrency=CLIENTS, seconds=SECONDS)
    return sorted(load.latencies)[int(0.99 * len(load.latencies))]


def data_set(http: str) -> str:
    """The path of a job that has begun to draw a million images."""
    job = httpx.post(f"{http}/v1/datasets", json={"model": "tiny", "n": 1_000_000, "format": "webdataset"}).json()["id"]
    return f"{http}/v1/datasets/{job}"


def fine_tuning(http: str) -> str:
    """The path of a job that has begun to train for an hour."""
    return f"{http}/v1/fine_tuning/jobs/{submit_fine_tuning(http, epochs=1_000_000)}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("begin", [data_set, fine_tuning])
def test_latency_beside_a_job(place: Workplace, report: Callable[[str], None], begin: Callable[[str], str]) -> None:
    publish_tiny(place.store, delay=10, precisions=("fp32",))
    ratios, alone, beside = [], [], []
    with running_server(place.store.root, place.state, "--default-model", "tiny") as server:
        percentile_99(server)
        for _ in range(ROUNDS):
            alone.append(percentile_99(server))
            path = begin(server.http)
            wait_for(lambda path=path: _works(path), 60.0, what="its progress")  # type: ignore[misc]
            beside.append(percentile_99(server))
            assert httpx.get(path).json()["status"] == "running"
            httpx.post(f"{path}/cancel")
            wait_for(lambda path=path: httpx.get(path).json()["finished_at"], what="its end")  # type: ignore[misc]
            ratios.append(beside[-1] / alone[-1])
    report(
        f"p99 of {CLIENTS} clients: {statistics.median(alone) * 1e3:.2f} ms alone, "
        f"{statistics.median(beside) * 1e3:.2f} ms beside a job, {begin.__name__} "
        f"(ratios {', '.join(f'{r:.2f}' for r in ratios)})"
    )
    assert statistics.median(ratios) <= 2.0


def _works(path: str) -> bool:
    """Whether the job has told of its progress."""
    said = httpx.get(f"{path}/events", params={"limit": 100}).text
    return '"progress"' in said or '"metrics"' in said
