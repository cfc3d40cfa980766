"""A load generator: closed loop (a number of clients, each waiting for its answer) or open loop (a rate of arrivals).

An open loop measures from the moment a request was due, not from when it was sent: a server that stalls delays the
requests behind it too, which a closed loop never sends ("coordinated omission", Tene 2013; Schroeder, Wierman and
Harchol-Balter 2006, "Open versus closed: a cautionary tale").
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

_MOST_OPEN = 20_000  # requests of an open loop that may wait for an answer; beyond it they count as not sent


class Target(Protocol):
    """What is called."""

    async def call(self, seed: int) -> str:
        """Ask for the images of `seed`; returns ``ok``, or a word for what went wrong. Raises nothing else."""
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...


@dataclass
class Load:
    """What was seen.

    Attributes:
        seconds: from the first request that counts to the end of the last.
        latencies: seconds of each good answer.
        outcomes: answers by word, ``ok`` among them.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0


Progress = Callable[[float], None]
"""Called now and then with the seconds that have passed."""


async def closed_loop(
    target: Target, *, concurrency: int, seconds: float, warm_up: float, progress: Progress = lambda _: None
) -> Load:
    """`concurrency` clients, each with one request at a time, for `warm_up` seconds that do not count and `seconds`."""
    load, seeds = Load(), iter(range(1 << 53))
    begin = time.perf_counter() + warm_up
    end = begin + seconds

    async def client() -> None:
        while (start := time.perf_counter()) < end:
            outcome = await target.call(next(seeds))
            if start >= begin:
                _record(load, outcome, time.perf_counter() - start)
            if outcome != "ok":
                await asyncio.sleep(0.01)  # a server that refuses at once is not asked as fast as it can refuse

    ticking = asyncio.create_task(_tick(progress, begin - warm_up))
    await asyncio.gather(*(client() for _ in range(concurrency)))
    ticking.cancel()
    load.seconds = time.perf_counter() - begin
    return load


async def open_loop(
    target: Target,
    *,
    rate: float,
    seconds: float,
    warm_up: float,
    even: bool = False,
    seed: int = 0,
    progress: Progress = lambda _: None,
) -> Load:
    """Arrivals at `rate` per second, as of many independent clients (Poisson), or `even`ly spaced."""
    load, pending = Load(), set[asyncio.Task[None]]()
    start = time.perf_counter()
    begin, end = start + warm_up, start + warm_up + seconds

    async def one(number: int, due: float) -> None:
        outcome = await target.call(number)
        if due >= begin:
            _record(load, outcome, time.perf_counter() - due)

    ticking = asyncio.create_task(_tick(progress, start))
    for number, offset in enumerate(_arrivals(rate, even=even, seed=seed)):
        due = start + offset
        if due >= end:
            break
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        if len(pending) >= _MOST_OPEN:
            load.outcomes["not sent"] += due >= begin
            continue
        task = asyncio.create_task(one(number, due))
        pending.add(task)
        task.add_done_callback(pending.discard)
    await asyncio.gather(*pending)
    ticking.cancel()
    load.seconds = time.perf_counter() - begin
    return load


def _arrivals(rate: float, *, even: bool, seed: int) -> Iterator[float]:
    """Seconds from the start, for ever."""
    draw, at = random.Random(seed), 0.0
    while True:
        at += 1 / rate if even else draw.expovariate(rate)
        yield at


def _record(load: Load, outcome: str, seconds: float) -> None:
    load.outcomes[outcome] += 1
    if outcome == "ok":
        load.latencies.append(seconds)


async def _tick(progress: Progress, start: float) -> None:
    while True:
        progress(time.perf_counter() - start)
        await asyncio.sleep(0.2)
