"""Two clients stream bulk images without end; a third, who asks for one at a time, hardly notices."""

import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from runtime.store import DirectoryStore
from service.client.latencies import percentiles
from service.client.lean_http import closed_loop
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

pytestmark = pytest.mark.slow  # its figures need a machine that does nothing else

SECONDS, BULK, ROUNDS = 4.0, 10_000, 3
MARGIN_S = 0.005
ONE: dict[str, object] = {"n": 1, "seed": 0, "format": "raw", "precision": "fp32"}


class _Bulk(threading.Thread):
    """Streams of `BULK` images, one after the other, until `over` is set."""

    def __init__(self, http: str) -> None:
        super().__init__()
        self._url = f"{http}/v1/samples"
        self.over = threading.Event()
        self.images = 0

    def run(self) -> None:
        body = {"n": BULK, "stream": True, "priority": "bulk", "precision": "fp32"}
        headers = {"Accept": "application/x-ndjson"}
        while not self.over.is_set():
            with httpx.stream("POST", self._url, json=body, headers=headers, timeout=60) as answer:
                for chunk in answer.iter_raw():
                    self.images += chunk.count(b"\n")
                    if self.over.is_set():
                        return


def bulk_rate(server: ServerProcess, meanwhile: Callable[[], None]) -> float:
    """Images per second that two bulk clients get `meanwhile`."""
    clients = [_Bulk(server.http) for _ in range(2)]
    for client in clients:
        client.start()
    time.sleep(0.5)
    before, start = sum(client.images for client in clients), time.perf_counter()
    meanwhile()
    rate = (sum(client.images for client in clients) - before) / (time.perf_counter() - start)
    for client in clients:
        client.over.set()
        client.join()
    return rate


def batch_seconds(server: ServerProcess) -> float:
    """How long a full batch computes: the setting that batches are sized by, at most."""
    lines = httpx.get(f"{server.http}/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    name = "latentd_compute_duration_seconds"
    return float(values[f'{name}_sum{{stage="run"}}']) / float(values[f'{name}_count{{stage="run"}}'])


def test_an_interactive_client_beside_two_bulk_streams(tmp_path: Path, report: Callable[[str], None]) -> None:
    store = DirectoryStore(tmp_path / "models")
    publish_tiny(store, delay=10, precisions=("fp32",))
    waits, falls, shares, batch_s = [], [], [], 0.0
    with running_server(store.root, tmp_path / "state", "--access-log", "false") as server:
        for _ in range(ROUNDS):
            alone = bulk_rate(server, lambda: time.sleep(SECONDS))
            batch_s = batch_seconds(server)
            loads: list[float] = []

            def ask(loads: list[float] = loads) -> None:
                load = closed_loop(f"{server.http}/v1/samples", ONE, concurrency=1, seconds=SECONDS)
                loads.append(load.rate)
                waits.append(percentiles(load.latencies)["p99"])

            beside = bulk_rate(server, ask)
            falls.append(1 - beside / alone)
            shares.append(loads[0] / (loads[0] + beside))
    wait, fall, share = statistics.median(waits), statistics.median(falls), statistics.median(shares)
    report(
        f"fairness: interactive p99 {wait * 1e3:.1f} ms beside two bulk streams, a batch takes {batch_s * 1e3:.1f}; "
        f"bulk falls by {fall:.0%}, the interactive share is {share:.0%}"
    )
    assert wait <= 2 * batch_s + MARGIN_S + 0.01  # another 10 ms for three clients on the server's own cores
    assert fall <= share + 0.15
