"""Two clients stream bulk images without end; a third, who asks for one at a time, hardly notices."""

import http.client
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from urllib.parse import urlsplit

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


def stream_bulk(url: str, images: "Synchronized[int]") -> None:
    """A client that asks for streams of `BULK` images, one after the other, and counts the `images` that came.

    A process of its own, as every client is, and with as little work per image as can be: threads of this process
    would wait for its global lock, and so would the interactive client.
    """
    body = json.dumps({"n": BULK, "stream": True, "priority": "bulk", "precision": "fp32"})
    headers = {"Accept": "application/x-ndjson", "Content-Type": "application/json"}
    while True:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        connection.request("POST", "/v1/samples", body, headers)
        answer = connection.getresponse()
        while lines := answer.read1(1 << 16):
            images.value += lines.count(b"\n")
        connection.close()


def bulk_rate(server: ServerProcess, meanwhile: Callable[[], None]) -> float:
    """Images per second that two bulk clients get `meanwhile`."""
    own = multiprocessing.get_context("spawn")
    counts: list[Synchronized[int]] = [own.Value("q") for _ in range(2)]
    clients = [own.Process(target=stream_bulk, args=(server.http, count)) for count in counts]
    for client in clients:
        client.start()
    while not all(count.value for count in counts):
        time.sleep(0.05)
    time.sleep(0.5)
    before, start = sum(count.value for count in counts), time.perf_counter()
    meanwhile()
    rate = (sum(count.value for count in counts) - before) / (time.perf_counter() - start)
    for client in clients:
        client.terminate()
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
