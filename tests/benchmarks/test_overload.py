"""Five times more arrives than can be computed: what is accepted is answered in time, the rest told when to return."""

import asyncio
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from runtime.store import DirectoryStore
from service.client.connection import Connection
from service.client.load import Load, closed_loop, open_loop
from service.client.targets import HttpTarget, Wanted
from tests.kit.processes import resident_mib
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

QUEUE, SHORT_S, LONG_S = 64, 8.0, 60.0
SECONDS = [pytest.param(SHORT_S, id="short"), pytest.param(LONG_S, id="minute", marks=pytest.mark.slow)]


def target_of(server: ServerProcess) -> HttpTarget:
    return HttpTarget(Connection(server.http), Wanted())


def capacity(server: ServerProcess, seconds: float) -> float:
    """Images per second of a closed loop."""

    async def run() -> Load:
        target = target_of(server)
        load = await closed_loop(target, concurrency=8, seconds=seconds, warm_up=0.3)
        await target.close()
        return load

    return asyncio.run(run()).rate


@pytest.mark.parametrize("seconds", SECONDS)
def test_five_times_too_much(tmp_path: Path, report: Callable[[str], None], seconds: float) -> None:
    store = DirectoryStore(tmp_path / "models")
    publish_tiny(store, delay=150, precisions=("fp32",))
    arguments = ("--queue-limit", str(QUEUE), "--max-images", str(QUEUE), "--access-log", "false")
    with (
        running_server(store.root, tmp_path / "state", *arguments) as server,
        running_server(store.root, tmp_path / "other", *arguments) as rested,  # tells what the machine can do by then
    ):
        most = capacity(server, 2.0)
        memory = resident_mib(server.pid)

        async def overload() -> Load:
            target = target_of(server)
            load = await open_loop(target, rate=5 * most, seconds=seconds, warm_up=1.0)
            await target.close()
            return load

        load = asyncio.run(overload())
        grown = resident_mib(server.pid) - memory
        after, then = capacity(server, 1.0), capacity(rested, 2.0)
    accepted = sorted(load.latencies)
    least = min(most, then)
    p99, bound = accepted[int(0.99 * len(accepted))], QUEUE / least + 0.5
    report(
        f"overload × 5 for {seconds:.0f} s: {load.rate / most:.2f} of the capacity of {most:.0f} images/s is used, p99 "
        f"{p99 * 1e3:.0f} ms (the queue takes {QUEUE / most * 1e3:.0f}), memory +{grown:.0f} MiB, "
        f"{after / most:.2f} of the capacity within the second after, when a rested server had {then / most:.2f} of it"
    )
    assert set(load.outcomes) <= {"ok", "429"}
    assert load.outcomes["429"] > load.outcomes["ok"]
    assert p99 <= bound
    assert grown < 30
    assert load.rate > 0.6 * least
    assert after > 0.7 * least


def test_who_is_refused_is_told_when_the_queue_will_be_empty(tmp_path: Path, report: Callable[[str], None]) -> None:
    store = DirectoryStore(tmp_path / "models")
    publish_tiny(store, delay=150, precisions=("fp32",))
    ratios = []
    arguments = ("--queue-limit", str(QUEUE), "--max-images", str(QUEUE))

    async def once(http: httpx.AsyncClient) -> float:
        filling = [asyncio.create_task(http.post("/v1/samples", json={"n": QUEUE // 4, "seed": n})) for n in range(4)]
        await asyncio.sleep(0.03)
        refused = await http.post("/v1/samples", json={"n": QUEUE})  # which fits into an empty queue alone
        assert refused.status_code == 429, refused.text
        told, start = float(refused.headers["retry-after-ms"]) / 1e3, time.perf_counter()
        await asyncio.gather(*filling)
        return told / (time.perf_counter() - start)

    async def rounds(server: ServerProcess) -> None:
        async with httpx.AsyncClient(base_url=server.http, timeout=60) as http:
            for _ in range(7):
                ratios.append(await once(http))

    with running_server(store.root, tmp_path / "state", *arguments) as server:
        asyncio.run(rounds(server))
    report(f"Retry-After over the time that the queue took: {json.dumps([round(ratio, 2) for ratio in ratios])}")
    assert 0.75 <= statistics.median(ratios) <= 1.25
