"""The load generator against targets of known speed: what it counts, and from when it measures."""

import asyncio
import time

import pytest

from service.client.latencies import percentiles
from service.client.load import closed_loop, open_loop


class Paced:
    """Answers one request after the other, each after `seconds`; `stall` once takes longer."""

    def __init__(self, seconds: float, *, stall: float = 0.0, outcome: str = "ok") -> None:
        self.seconds, self.stall, self.outcome = seconds, stall, outcome
        self.seeds: list[int] = []
        self._lock = asyncio.Lock()

    async def call(self, seed: int) -> str:
        async with self._lock:
            self.seeds.append(seed)
            stall, self.stall = self.stall, 0.0
            await asyncio.sleep(self.seconds + stall)
        return self.outcome

    async def close(self) -> None:
        pass


async def test_a_closed_loop_finds_the_throughput() -> None:
    target = Paced(0.01)
    load = await closed_loop(target, concurrency=4, seconds=0.5, warm_up=0.1)
    assert load.rate == pytest.approx(100, rel=0.3)
    assert percentiles(load.latencies)["p50"] == pytest.approx(0.04, rel=0.3), "four wait for one"
    assert len(set(target.seeds)) == len(target.seeds), "no two requests are alike"
    assert len(load.latencies) < len(target.seeds), "the warm-up does not count"


async def test_an_open_loop_keeps_its_rate_and_counts_the_wait_from_when_a_request_was_due() -> None:
    """A stall of 0.3 s at 100/s delays about 30 requests; a closed loop of one would see a single slow one."""
    load = await open_loop(Paced(0.001, stall=0.3), rate=100, seconds=0.6, warm_up=0.0, even=True)
    assert load.outcomes["ok"] == pytest.approx(60, abs=3)
    assert sum(latency > 0.1 for latency in load.latencies) > 12
    assert max(load.latencies) > 0.25


async def test_random_arrivals_come_at_the_rate_on_average_and_the_same_each_time() -> None:
    async def seeds() -> int:
        target = Paced(0.0)
        await open_loop(target, rate=400, seconds=0.5, warm_up=0.0, seed=3)
        return len(target.seeds)

    first, second = await seeds(), await seeds()
    assert first == second == pytest.approx(200, rel=0.25)


async def test_what_went_wrong_is_counted_by_its_word_and_not_measured() -> None:
    for loop in (
        closed_loop(Paced(0.001, outcome="429"), concurrency=2, seconds=0.1, warm_up=0.0),
        open_loop(Paced(0.001, outcome="429"), rate=100, seconds=0.1, warm_up=0.0),
    ):
        load = await loop
        assert set(load.outcomes) == {"429"}
        assert load.latencies == []
        assert load.rate == 0.0


async def test_a_server_that_refuses_at_once_is_not_asked_as_fast_as_it_can_refuse() -> None:
    start = time.perf_counter()
    load = await closed_loop(Paced(0.0, outcome="503"), concurrency=1, seconds=0.2, warm_up=0.0)
    assert load.outcomes["503"] <= (time.perf_counter() - start) / 0.01 + 1
