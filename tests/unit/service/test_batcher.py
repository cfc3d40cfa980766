"""Rows of many requests share batches, and each request gets exactly its own back."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Coroutine
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.generator import Generator
from runtime.latents import latents_from_seeds
from runtime.package import Package
from service.batcher import Batcher
from service.errors import DeadlineExceeded, Draining, Overloaded
from service.lanes import Lane, Priority, Rows, Ticket
from service.metrics import DISPATCH_REASONS, Metrics
from service.observation import Observation
from tests.unit.service.parts import HeldGenerator, marked, new_metrics, running_batcher, seeded, until, value_of

Images = NDArray[np.uint8]


@pytest.fixture(scope="module")
def shared_generator(package: Package) -> HeldGenerator:
    return HeldGenerator(package)


@pytest.fixture
def generator(shared_generator: HeldGenerator) -> HeldGenerator:
    shared_generator.gate.set()
    shared_generator.fails = lambda latents: False
    shared_generator.forget()
    return shared_generator


@pytest.fixture
def lane(generator: HeldGenerator) -> Lane:
    return Lane(generator, max_rows=4, seconds_per_row=0.001)


def start(work: Coroutine[Any, Any, Images]) -> "asyncio.Task[Images]":
    return asyncio.ensure_future(work)


async def hold(batcher: Batcher, lane: Lane) -> "asyncio.Task[Images]":
    """Shut the gate and occupy the worker with one row, so that what follows stays queued."""
    generator = lane.generator
    assert isinstance(generator, HeldGenerator)
    generator.gate.clear()
    generator.started.clear()
    task = start(batcher.run(lane, marked(-1), timeout_s=20))
    await until(generator.started.is_set)
    return task


def expected(generator: HeldGenerator, rows: Rows) -> Images:
    """What `rows` yield alone."""
    latents = latents_from_seeds(rows.seeds, 16) if rows.seeds is not None else rows.latents
    assert latents is not None
    if rows.truncation is not None:
        latents = latents * rows.truncation[:, None]
    return generator.run(latents, rows.labels)


def assert_nothing_left(metrics: Metrics, batcher: Batcher, *lanes: Lane) -> None:
    assert value_of(metrics, "latentd_queue_rows") == 0
    assert value_of(metrics, "latentd_inflight_batches") == 0
    assert batcher.backlog_s() == 0
    for lane in lanes:
        assert lane.queued_rows == 0
        assert not lane.queues["interactive"]
        assert not lane.queues["bulk"]


# --- each request its own rows -------------------------------------------------------------------------------


async def test_a_request_larger_than_a_batch_is_split_and_comes_back_in_order(
    generator: HeldGenerator, lane: Lane, metrics: Metrics
) -> None:
    rows = seeded(*range(10))
    async with running_batcher(metrics) as batcher:
        images = await batcher.run(lane, rows, timeout_s=20)
    assert generator.sizes == [4, 4, 2]
    np.testing.assert_array_equal(images, expected(generator, rows))
    assert_nothing_left(metrics, batcher, lane)


async def test_waiting_requests_share_a_batch(generator: HeldGenerator, lane: Lane) -> None:
    async with running_batcher() as batcher:
        held = await hold(batcher, lane)
        tasks = [start(batcher.run(lane, marked(mark), timeout_s=20)) for mark in (1, 2, 3)]
        await asyncio.sleep(0)
        generator.gate.set()
        await asyncio.gather(held, *tasks)
    assert generator.marks == [[-1], [1, 2, 3]]


async def test_a_queue_is_spread_over_all_workers_busy_ones_too(generator: HeldGenerator, lane: Lane) -> None:
    async with running_batcher(threads=2) as batcher:
        generator.gate.clear()
        work = start(batcher.run(lane, marked(1, 4), timeout_s=20))
        await until(lambda: len(generator.batches) == 2)
        generator.gate.set()
        await work
    assert generator.sizes == [2, 1, 1]


async def test_a_request_that_is_alone_again_and_again_is_computed_on_the_event_loop(
    generator: HeldGenerator, lane: Lane
) -> None:
    threads = list[str]()
    generator.fails = lambda _: bool(threads.append(threading.current_thread().name))  # type: ignore[func-returns-value]
    async with running_batcher(threads=2) as batcher:

        async def all_idle() -> None:
            """A worker falls asleep some time after its answer."""
            await asyncio.sleep(0)
            await until(lambda: batcher._schedule.asleep == 2)

        found = []
        for mark in range(8):
            found.append(await batcher.run(lane, marked(mark), timeout_s=20, seen_at_once=True))
            await all_idle()
        assert [name.startswith("infer-") for name in threads] == [True] * 4 + [False] * 4
        for mark, images in enumerate(found):
            np.testing.assert_array_equal(images, expected(generator, marked(mark)))
        threads.clear()
        await asyncio.gather(*(batcher.run(lane, marked(mark), timeout_s=20, seen_at_once=True) for mark in range(6)))
        assert sum(name.startswith("infer-") for name in threads) >= 1, "only one in a turn of the loop"
        threads.clear()
        await all_idle()
        await batcher.run(lane, marked(9), timeout_s=20, seen_at_once=True)
        assert all(name.startswith("infer-") for name in threads), "it was not alone lately"
        long = Lane(generator, max_rows=4, seconds_per_row=0.1)
        for mark in range(8):
            await batcher.run(long, marked(mark), timeout_s=20, seen_at_once=True)
            await all_idle()
        assert all(name.startswith("infer-") for name in threads), "what takes long never is"
        threads.clear()
        for mark in range(8):
            await batcher.run(lane, marked(mark), timeout_s=20)
            await all_idle()
        assert all(name.startswith("infer-") for name in threads), "of gRPC it is not known who else waits"


_requests = st.lists(
    st.tuples(
        st.integers(1, 20),  # rows
        st.booleans(),  # latents given, instead of seeds
        st.sampled_from([None, 1.0, 0.5, 0.25]),
        st.sampled_from(["interactive", "bulk"]),
        st.integers(0, 2**40),
    ),
    min_size=1,
    max_size=12,
)


def _rows(n: int, truncation: float | None, number: int, *, given_latents: bool) -> Rows:
    random = np.random.default_rng(number)
    return Rows(
        n,
        None if given_latents else random.integers(0, 2**53, n, dtype=np.uint64),
        random.standard_normal((n, 16)).astype(np.float32) if given_latents else None,
        random.integers(0, 10, n),
        None if truncation is None else np.full(n, truncation, dtype=np.float32),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=_requests, max_rows=st.integers(1, 9), threads=st.integers(1, 3), cancelled=st.sets(st.integers(0, 11)))
def test_any_mix_of_requests_gets_exactly_its_own_rows(
    generator: HeldGenerator,
    requests: list[tuple[int, bool, float | None, Priority, int]],
    max_rows: int,
    threads: int,
    cancelled: set[int],
) -> None:
    lanes = [Lane(generator, max_rows, 1e-6), Lane(generator, max_rows + 3, 1e-6)]
    metrics = new_metrics()

    async def scenario() -> None:
        async with running_batcher(metrics, threads=threads) as batcher:
            work = []
            for index, (n, given_latents, truncation, priority, number) in enumerate(requests):
                rows = _rows(n, truncation, number, given_latents=given_latents)
                run = batcher.run(lanes[index % 2], rows, priority=priority, timeout_s=20)
                work.append((rows, asyncio.ensure_future(run)))
            await asyncio.sleep(0)
            for index, (_, task) in enumerate(work):
                if index in cancelled:
                    task.cancel()
            answers = await asyncio.gather(*(task for _, task in work), return_exceptions=True)
            for index, ((rows, _), answer) in enumerate(zip(work, answers, strict=True)):
                if index in cancelled and isinstance(answer, asyncio.CancelledError):
                    continue
                assert not isinstance(answer, BaseException), answer
                np.testing.assert_array_equal(answer, expected(generator, rows))
        assert_nothing_left(metrics, batcher, *lanes)

    asyncio.run(scenario())


# --- neighbours are left alone -------------------------------------------------------------------------------


async def test_a_cancelled_request_leaves_the_queue_and_its_neighbours_alone(
    generator: HeldGenerator, lane: Lane, metrics: Metrics
) -> None:
    async with running_batcher(metrics) as batcher:
        held = await hold(batcher, lane)
        before, gone, after = (start(batcher.run(lane, marked(mark, 2), timeout_s=20)) for mark in (1, 2, 3))
        await asyncio.sleep(0)
        assert value_of(metrics, "latentd_queue_rows") == 6
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        assert value_of(metrics, "latentd_queue_rows") == 4
        generator.gate.set()
        await asyncio.gather(held, before, after)
    assert generator.marks == [[-1], [1, 1, 3, 3]]
    assert value_of(metrics, "latentd_rejected_total", reason="cancelled") == 1
    assert_nothing_left(metrics, batcher, lane)


async def test_a_request_cancelled_half_way_gives_up_the_rows_that_have_not_started(
    generator: HeldGenerator, lane: Lane, metrics: Metrics
) -> None:
    async with running_batcher(metrics) as batcher:
        generator.gate.clear()
        gone = start(batcher.run(lane, marked(1, 10), timeout_s=20))
        await until(generator.started.is_set)
        neighbour = start(batcher.run(lane, marked(2, 2), timeout_s=20))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        generator.gate.set()
        assert len(await neighbour) == 2
    assert generator.marks == [[1, 1, 1, 1], [2, 2]]
    assert_nothing_left(metrics, batcher, lane)


async def test_an_expired_request_says_how_far_it_came_and_its_neighbours_go_on(
    generator: HeldGenerator, lane: Lane, metrics: Metrics
) -> None:
    async with running_batcher(metrics) as batcher:
        held = await hold(batcher, lane)
        late = start(batcher.run(lane, marked(1, 3), timeout_s=0.02))
        neighbour = start(batcher.run(lane, marked(2), timeout_s=20))
        with pytest.raises(DeadlineExceeded, match=r"0 of 3 images were ready after 0\.02 s"):
            await late
        generator.gate.set()
        assert len(await neighbour) == 1
        await held
    assert generator.marks == [[-1], [2]]
    assert value_of(metrics, "latentd_rejected_total", reason="deadline") == 1
    assert_nothing_left(metrics, batcher, lane)


async def test_what_is_told_at_the_deadline_counts_what_nobody_was_told_of_before(package: Package) -> None:
    class HeldAtLast(HeldGenerator):
        def run(self, latents: NDArray[np.float32], labels: NDArray[np.int64] | None = None) -> Images:
            return super().run(latents, labels) if -1 in latents[:, 0] else Generator.run(self, latents, labels)

    generator = HeldAtLast(package)
    lane = Lane(generator, max_rows=4, seconds_per_row=0.001)
    rows = marked(1, 12)
    assert rows.latents is not None
    rows.latents[8:, 0] = -1
    async with running_batcher(threads=2) as batcher:
        generator.gate.clear()
        with pytest.raises(DeadlineExceeded, match="8 of 12 images were ready"):
            await batcher.run(lane, rows, timeout_s=1.5)
        generator.gate.set()


async def test_a_batch_that_raises_fails_its_requests_only_and_the_worker_lives_on(
    generator: HeldGenerator, lane: Lane, metrics: Metrics
) -> None:
    generator.fails = lambda latents: bool((latents[:, 0] == 13).any())
    async with running_batcher(metrics) as batcher:
        held = await hold(batcher, lane)
        work = [start(batcher.run(lane, marked(mark, 2), timeout_s=20)) for mark in (13, 2, 3)]
        await asyncio.sleep(0)
        generator.gate.set()
        answers = await asyncio.gather(held, *work, return_exceptions=True)
        assert [type(answer) for answer in answers] == [np.ndarray, RuntimeError, RuntimeError, np.ndarray]
        assert len(await batcher.run(lane, marked(4), timeout_s=20)) == 1
    assert_nothing_left(metrics, batcher, lane)


async def test_the_other_rows_of_a_failed_request_never_meet_a_neighbour(
    generator: HeldGenerator, lane: Lane, metrics: Metrics
) -> None:
    generator.fails = lambda latents: bool((latents[:, 0] == 13).any())
    async with running_batcher(metrics) as batcher:
        generator.gate.clear()
        bad = start(batcher.run(lane, marked(13, 6), timeout_s=20))
        await until(generator.started.is_set)
        neighbour = start(batcher.run(lane, marked(2, 2), timeout_s=20))
        await asyncio.sleep(0)
        generator.gate.set()
        answers = await asyncio.gather(bad, neighbour, return_exceptions=True)
    assert isinstance(answers[0], RuntimeError)
    assert isinstance(answers[1], np.ndarray), "rows of a request that had failed already took this one with them"
    assert_nothing_left(metrics, batcher, lane)


async def test_an_expired_request_is_not_computed_even_where_its_client_has_not_noticed_yet(
    generator: HeldGenerator, lane: Lane, metrics: Metrics
) -> None:
    async with running_batcher(metrics) as batcher:
        held = await hold(batcher, lane)
        gone = start(batcher.run(lane, marked(1, 3), timeout_s=20))
        await asyncio.sleep(0)
        gone.cancel()
        generator.gate.set()
        time.sleep(0.05)  # noqa: ASYNC251 - the event loop is busy elsewhere while a worker looks for its next batch
        await asyncio.gather(held, gone, return_exceptions=True)
        await asyncio.sleep(0.02)
    assert generator.marks == [[-1]]
    assert_nothing_left(metrics, batcher, lane)


async def test_a_generator_that_yields_too_few_images_fails_the_batch_and_hangs_nobody(
    package: Package, metrics: Metrics
) -> None:
    class Short(HeldGenerator):
        def run(self, latents: NDArray[np.float32], labels: NDArray[np.int64] | None = None) -> Images:
            images = super().run(latents, labels)
            return images[:1] if getattr(self, "short", False) else images

    generator = Short(package)
    generator.short = True  # type: ignore[attr-defined]
    lane = Lane(generator, 4, 0.001)
    async with running_batcher(metrics) as batcher:
        with pytest.raises(RuntimeError, match="1 images for 3 rows"):
            await asyncio.wait_for(batcher.run(lane, marked(1, 3), timeout_s=20), 5)
    assert_nothing_left(metrics, batcher, lane)


# --- refusals are immediate and honest -----------------------------------------------------------------------


async def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(
    generator: HeldGenerator, metrics: Metrics
) -> None:
    lane = Lane(generator, max_rows=4, seconds_per_row=0.5)
    async with running_batcher(metrics, queue_limit=10) as batcher:
        held = await hold(batcher, lane)
        fits = start(batcher.run(lane, marked(1, 10), timeout_s=20))
        await asyncio.sleep(0)
        asked = time.monotonic()
        with pytest.raises(Overloaded, match="holds 10 of at most 10 images, 1 more do not fit") as refusal:
            await batcher.run(lane, marked(2), timeout_s=20)
        assert time.monotonic() - asked < 0.1
        assert refusal.value.retry_after_s == pytest.approx(10 * 0.5)
        generator.gate.set()
        await asyncio.gather(held, fits)
        assert len(await batcher.run(lane, marked(3, 10), timeout_s=20)) == 10
    assert value_of(metrics, "latentd_rejected_total", reason="queue_full") == 1
    assert_nothing_left(metrics, batcher, lane)


async def test_a_backlog_longer_than_the_deadline_refuses_at_once(generator: HeldGenerator, metrics: Metrics) -> None:
    lane = Lane(generator, max_rows=4, seconds_per_row=0.5)
    async with running_batcher(metrics) as batcher:
        held = await hold(batcher, lane)
        queued = start(batcher.run(lane, marked(1, 6), timeout_s=20))
        await asyncio.sleep(0)
        with pytest.raises(Overloaded, match=r"backlog takes 3\.00 s, this request may wait 1\.00 s") as refusal:
            await batcher.run(lane, marked(2), timeout_s=1)
        assert refusal.value.retry_after_s == pytest.approx(2.0)
        patient = start(batcher.run(lane, marked(3), timeout_s=4))
        await asyncio.sleep(0)
        generator.gate.set()
        await asyncio.gather(held, queued, patient)
    assert value_of(metrics, "latentd_rejected_total", reason="deadline") == 1


async def test_the_backlog_is_shared_by_the_workers(generator: HeldGenerator) -> None:
    lane = Lane(generator, max_rows=1, seconds_per_row=0.5)
    async with running_batcher(threads=2) as batcher:
        generator.gate.clear()
        work = start(batcher.run(lane, marked(1, 6), timeout_s=20))
        await until(lambda: batcher.backlog_s() == pytest.approx(4 * 0.5 / 2))
        generator.gate.set()
        await work


async def test_single_rows_on_an_idle_device_do_not_inflate_the_estimate_of_full_batches(
    package: Package, generator: HeldGenerator
) -> None:
    class Overhead(HeldGenerator):
        def run(self, latents: NDArray[np.float32], labels: NDArray[np.int64] | None = None) -> Images:
            time.sleep(0.005)
            return super().run(latents, labels)

    async with running_batcher(max_batch=64) as batcher:
        lane = Lane(Overhead(package), max_rows=64, seconds_per_row=0.005 / 64)
        for seed in range(40):
            await batcher.run(lane, seeded(seed), timeout_s=20)
        assert lane.seconds_per_row < 0.0015, "a full batch is now believed to take over ten times its time"


# --- who goes first ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fills", "marks"),
    [(True, [[-1], [2, 2, 1, 1], [1, 1, 1, 1], [1, 1]]), (False, [[-1], [2, 2], [1, 1, 1, 1], [1, 1, 1, 1]])],
    ids=["filled up", "by themselves"],
)
async def test_interactive_rows_overtake_bulk_rows(
    generator: HeldGenerator, lane: Lane, fills: bool, marks: list[list[int]]
) -> None:
    lane.fills = fills
    async with running_batcher() as batcher:
        held = await hold(batcher, lane)
        bulk = start(batcher.run(lane, marked(1, 8), priority="bulk", timeout_s=20))
        await asyncio.sleep(0)
        quick = start(batcher.run(lane, marked(2, 2), timeout_s=20))
        await asyncio.sleep(0)
        generator.gate.set()
        await asyncio.gather(held, bulk, quick)
    assert generator.marks == marks


@pytest.mark.parametrize(("per_row_s", "fills"), [(0.02, False), (0.0, True)])
async def test_whether_bulk_rows_fill_up_a_batch_follows_from_what_one_takes(
    package: Package, per_row_s: float, fills: bool
) -> None:
    class Steady(HeldGenerator):
        def run(self, latents: NDArray[np.float32], labels: NDArray[np.int64] | None = None) -> Images:
            time.sleep(0.02 + per_row_s * len(latents))
            return super().run(latents, labels)

    async with running_batcher(max_batch=8) as batcher:
        lane = await asyncio.to_thread(batcher.open_lane, Steady(package))
    assert (lane.max_rows, lane.fills) == (8, fills)


def _gone(held: "weakref.ref[Images]") -> bool:
    return held() is None


async def test_images_are_freed_with_their_last_user(lane: Lane) -> None:
    gc.disable()
    try:
        async with running_batcher() as batcher:
            for n in (1, 10):  # in one batch, and in several
                images = await batcher.run(lane, marked(1, n), timeout_s=20)
                held = weakref.ref(images)
                del images
                await until(partial(_gone, held))
    finally:
        gc.enable()


async def test_a_lone_request_has_all_cores_while_they_are_faster(package: Package) -> None:
    class Steady(HeldGenerator):
        seconds = 0.02

        def run(self, latents: NDArray[np.float32], labels: NDArray[np.int64] | None = None) -> Images:
            time.sleep(self.seconds)
            return super().run(latents, labels)

    narrow, wide = Steady(package), Steady(package)
    wide.seconds = 0.04  # another program has the other cores while the model is loaded
    async with running_batcher(max_batch=1) as batcher:
        lane = await asyncio.to_thread(batcher.open_lane, narrow, wide)

        async def ask(times: int) -> float:
            """Share of lone requests that had all cores."""
            wide.forget()
            for mark in range(times):
                await batcher.run(lane, marked(mark), timeout_s=20)
            return len(wide.batches) / times

        assert 0 < await ask(70) < 0.1
        wide.seconds = 0.002
        await ask(200)
        assert await ask(10) == 1
        wide.seconds = 0.08
        assert await ask(3) == 1, "a few slow ones change nothing"
        await ask(20)
        assert await ask(10) < 0.2


async def test_bulk_rows_are_not_starved_by_interactive_ones(generator: HeldGenerator, lane: Lane) -> None:
    async with running_batcher() as batcher:
        held = await hold(batcher, lane)
        bulk = start(batcher.run(lane, marked(1, 8), priority="bulk", timeout_s=20))
        quick = start(batcher.run(lane, marked(2, 200), timeout_s=20))
        await asyncio.sleep(0)
        generator.gate.set()
        await asyncio.gather(held, bulk, quick)
    with_bulk = [number for number, batch in enumerate(generator.marks, 1) if 1 in batch]
    assert with_bulk == [9, 17]


def test_where_bulk_rows_get_their_turn_anyhow_no_interactive_one_waits_for_them(lane: Lane) -> None:
    lane.fills = False

    def queue(rows: Rows, priority: Priority) -> None:
        lane.queues[priority].append(Ticket(lane, rows, priority, lambda _: None, 0.0, Observation("")))

    queue(marked(1, 100), "bulk")
    taken = []
    for _ in range(20):  # a bulk batch, an interactive one, and so on
        taken += [segment.ticket.priority for segment in lane.take(4)]
        queue(marked(2), "interactive")
        taken += [segment.ticket.priority for segment in lane.take(4)]
    assert taken == ["bulk", "interactive"] * 20


async def test_busy_lanes_take_turns(generator: HeldGenerator, lane: Lane) -> None:
    other = Lane(generator, max_rows=4, seconds_per_row=0.001)
    async with running_batcher() as batcher:
        held = await hold(batcher, lane)
        work = [start(batcher.run(lane, marked(1, 12), timeout_s=20))]
        work += [start(batcher.run(other, marked(2, 12), timeout_s=20))]
        await asyncio.sleep(0)
        generator.gate.set()
        await asyncio.gather(held, *work)
    turns = [batch[0] for batch in generator.marks[1:]]
    assert sorted(turns[:2]) == sorted(turns[2:4]) == sorted(turns[4:6]) == [1, 2]


async def test_a_lane_that_was_busy_for_long_is_not_starved_by_one_that_arrives_while_its_queue_is_empty(
    generator: HeldGenerator, lane: Lane
) -> None:
    newcomer = Lane(generator, max_rows=4, seconds_per_row=0.001)
    async with running_batcher() as batcher:
        await batcher.run(lane, marked(0, 80), timeout_s=20)
        held = await hold(batcher, lane)  # its only row is being computed: nothing of it waits
        generator.forget()
        work = [start(batcher.run(newcomer, marked(2, 40), timeout_s=20))]
        await asyncio.sleep(0)
        work += [start(batcher.run(lane, marked(1, 4), timeout_s=20))]
        await asyncio.sleep(0)
        generator.gate.set()
        await asyncio.gather(held, *work)
    assert [1, 1, 1, 1] in generator.marks[:3], "an old lane must not pay for the time it had the device to itself"


async def test_an_idle_lane_saves_no_credit(generator: HeldGenerator, lane: Lane) -> None:
    rested = Lane(generator, max_rows=4, seconds_per_row=0.001)
    async with running_batcher() as batcher:
        held = await hold(batcher, lane)
        long = start(batcher.run(lane, marked(1, 80), timeout_s=20))
        await asyncio.sleep(0)
        generator.shuts_at = seen = len(generator.batches) + 6
        generator.gate.set()
        await until(lambda: len(generator.batches) == seen)
        burst = start(batcher.run(rested, marked(2, 40), timeout_s=20))
        await asyncio.sleep(0)
        generator.gate.set()
        await asyncio.gather(held, long, burst)
    turns = [batch[0] for batch in generator.marks[seen + 1 : seen + 9]]
    assert turns.count(1) >= 2, "the newcomer must not work off the time it was away"


# --- delay, and the end --------------------------------------------------------------------------------------


async def test_without_a_delay_an_idle_device_starts_at_once(
    generator: HeldGenerator, lane: Lane, metrics: Metrics
) -> None:
    async with running_batcher(metrics) as batcher:
        await batcher.run(lane, marked(1), timeout_s=20)
    assert value_of(metrics, "latentd_dispatch_total", reason="idle") == 1


async def test_a_delay_gathers_rows_while_the_device_is_idle(
    generator: HeldGenerator, lane: Lane, metrics: Metrics
) -> None:
    async with running_batcher(metrics, delay_s=0.05) as batcher:
        first = start(batcher.run(lane, marked(1), timeout_s=20))
        await asyncio.sleep(0.01)
        assert generator.batches == []
        second = start(batcher.run(lane, marked(2), timeout_s=20))
        await asyncio.gather(first, second)
    assert generator.marks == [[1, 2]]
    assert value_of(metrics, "latentd_dispatch_total", reason="delay") == 1


async def test_a_full_batch_does_not_wait_for_the_delay(generator: HeldGenerator, lane: Lane, metrics: Metrics) -> None:
    async with running_batcher(metrics, delay_s=10.0) as batcher:
        await asyncio.wait_for(batcher.run(lane, marked(1, 4), timeout_s=20), 5)
    assert value_of(metrics, "latentd_dispatch_total", reason="full") == 1


async def test_rows_that_come_while_the_device_works_are_not_delayed(generator: HeldGenerator, lane: Lane) -> None:
    async with running_batcher(threads=2, delay_s=10.0) as batcher:
        generator.gate.clear()
        full = start(batcher.run(lane, marked(1, 4), timeout_s=20))
        await until(generator.started.is_set)
        generator.gate.set()
        await full
        await hold_with(batcher, lane, 4)
        alone = start(batcher.run(lane, marked(3), timeout_s=20))
        await asyncio.sleep(0)  # it is queued before the device is free again
        generator.gate.set()
        assert len(await asyncio.wait_for(alone, 5)) == 1


async def hold_with(batcher: Batcher, lane: Lane, rows: int) -> None:
    """Occupy one of two workers with a full batch."""
    generator = lane.generator
    assert isinstance(generator, HeldGenerator)
    generator.gate.clear()
    generator.forget()
    task = start(batcher.run(lane, marked(-1, rows), timeout_s=20))
    task.add_done_callback(lambda done: done.exception())
    await until(generator.started.is_set)


async def test_closing_finishes_what_is_queued_and_refuses_what_is_new(
    generator: HeldGenerator, lane: Lane, metrics: Metrics
) -> None:
    async with running_batcher(metrics) as batcher:
        held = await hold(batcher, lane)
        queued = start(batcher.run(lane, marked(1, 9), timeout_s=20))
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(batcher.close())
        await asyncio.sleep(0)
        with pytest.raises(Draining, match="shutting down") as refusal:
            await batcher.run(lane, marked(2), timeout_s=20)
        assert refusal.value.retry_after_s >= 1
        assert not closing.done()
        generator.gate.set()
        assert len(await queued) == 9
        await closing
        await held
    assert value_of(metrics, "latentd_rejected_total", reason="draining") == 1
    assert value_of(metrics, "latentd_dispatch_total", reason="drain") == 1, "two full batches, then the rest"
    assert_nothing_left(metrics, batcher, lane)


async def test_closing_does_not_wait_out_a_delay(generator: HeldGenerator, lane: Lane) -> None:
    async with running_batcher(delay_s=10.0) as batcher:
        waiting = start(batcher.run(lane, marked(1), timeout_s=20))
        await asyncio.sleep(0)
        await asyncio.wait_for(batcher.close(), 5)
        assert len(await waiting) == 1


async def test_closing_ends_where_the_last_waiting_client_goes_away(generator: HeldGenerator, lane: Lane) -> None:
    async with running_batcher(delay_s=10.0) as batcher:
        gone = start(batcher.run(lane, marked(1), timeout_s=20))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait_for(batcher.close(), 5)


# --- lanes ---------------------------------------------------------------------------------------------------


async def test_a_lane_takes_the_largest_batch_within_the_time_given(generator: HeldGenerator) -> None:
    async with running_batcher(max_batch=48, batch_s=10.0) as batcher:
        assert batcher.open_lane(generator).max_rows == 48
    async with running_batcher(max_batch=48, batch_s=1e-9) as batcher:
        assert batcher.open_lane(generator).max_rows == 1


async def test_a_lane_knows_how_far_a_batch_may_go_where_many_wait(package: Package) -> None:
    class Steady(HeldGenerator):
        def run(self, latents: NDArray[np.float32], labels: NDArray[np.int64] | None = None) -> Images:
            time.sleep(0.01 * len(latents))
            return super().run(latents, labels)

    async with running_batcher(max_batch=16, batch_s=0.03) as batcher:
        lane = await asyncio.to_thread(batcher.open_lane, Steady(package))
    assert (lane.max_rows, lane.deep_rows) == (2, 8)
    async with running_batcher(max_batch=16, batch_s=0.001) as batcher:
        lane = await asyncio.to_thread(batcher.open_lane, Steady(package))
    assert (lane.max_rows, lane.deep_rows) == (1, 2)
    async with running_batcher(max_batch=1, batch_s=0.03) as batcher:
        lane = await asyncio.to_thread(batcher.open_lane, Steady(package))
    assert (lane.max_rows, lane.deep_rows) == (1, 1)


async def test_a_long_queue_is_cut_into_longer_batches(generator: HeldGenerator, lane: Lane) -> None:
    lane.deep_rows = 8
    async with running_batcher() as batcher:
        held = await hold(batcher, lane)
        work = start(batcher.run(lane, marked(1, 24), timeout_s=20))
        await asyncio.sleep(0)
        generator.gate.set()
        await asyncio.gather(held, work)
    assert generator.sizes == [1, 8, 8, 4, 4]


async def test_a_long_queue_of_bulk_rows_is_not(generator: HeldGenerator, lane: Lane) -> None:
    lane.deep_rows = 8
    async with running_batcher() as batcher:
        held = await hold(batcher, lane)
        work = start(batcher.run(lane, marked(1, 16), priority="bulk", timeout_s=20))
        await asyncio.sleep(0)
        generator.gate.set()
        await asyncio.gather(held, work)
    assert generator.sizes == [1, 4, 4, 4, 4]


async def test_every_dispatch_has_one_reason_and_every_batch_its_size(
    generator: HeldGenerator, lane: Lane, metrics: Metrics
) -> None:
    async with running_batcher(metrics) as batcher:
        await batcher.run(lane, marked(1, 10), timeout_s=20)
    reasons = {reason: value_of(metrics, "latentd_dispatch_total", reason=reason) for reason in DISPATCH_REASONS}
    assert reasons == {"full": 2, "idle": 1, "delay": 0, "drain": 0}
    assert value_of(metrics, "latentd_batch_rows_sum") == 10
    assert value_of(metrics, "latentd_queue_duration_seconds_count") == 1
    assert value_of(metrics, "latentd_compute_duration_seconds_count", stage="run") == 3
