"""Which workers are woken, and when the event loop is for what they computed: never later than somebody needs it."""

from collections.abc import Callable

import pytest

from runtime.package import Package
from service.lanes import Lane, Priority, Ticket
from service.observation import Observation
from service.schedule import Batch, Schedule
from tests.unit.service.parts import HeldGenerator, marked

WORKERS, MANY = 2, 100


@pytest.fixture(scope="module")
def generator(package: Package) -> HeldGenerator:
    return HeldGenerator(package)


@pytest.fixture
def lane(generator: HeldGenerator) -> Lane:
    return Lane(generator, max_rows=4, seconds_per_row=0.001)


@pytest.fixture
def schedule() -> Schedule:
    return Schedule(WORKERS)


def add(schedule: Schedule, lane: Lane, n: int = 1, *, times: int = 1, priority: Priority = "interactive") -> Ticket:
    """Queue requests of `n` rows; returns the last."""
    for _ in range(times):
        ticket = Ticket(lane, marked(0, n), priority, lambda _: None, 0.0, Observation(""))
        schedule.add(lane, ticket)
    return ticket


def take(schedule: Schedule) -> Batch:
    batch = schedule.take(0)
    assert batch is not None
    return batch


def test_a_batch_that_completes_no_request_wakes_nobody_until_there_are_many(schedule: Schedule, lane: Lane) -> None:
    add(schedule, lane, 16)
    batches = [take(schedule), take(schedule)]
    enough = []
    while lane.queued_rows:
        enough.append(schedule.release(batches.pop(0)))
        batches.append(take(schedule))
    assert min(enough) > 4
    assert schedule.release(batches[0]) > 4
    assert schedule.release(batches[1]) == 1, "the request is complete"


def test_the_last_batch_that_is_computed_is_told_of_whatever_is_in_it(schedule: Schedule, lane: Lane) -> None:
    ticket = add(schedule, lane, 16)
    batch = take(schedule)
    schedule.withdraw(lane, ticket)
    assert schedule.release(batch) == 1


@pytest.mark.parametrize("ending", ["settled", "failed"])
def test_rows_of_a_request_that_has_ended_are_told_of_at_once(schedule: Schedule, lane: Lane, ending: str) -> None:
    ticket = add(schedule, lane, 16)
    first, _ = take(schedule), take(schedule)
    setattr(ticket, ending, True)
    assert schedule.release(first) == 1


@pytest.mark.parametrize("workers", [2, 8])
def test_where_many_more_wait_an_answer_waits_for_one_more_batch_at_most(lane: Lane, workers: int) -> None:
    schedule = Schedule(workers)
    add(schedule, lane, times=MANY)
    first, _ = take(schedule), take(schedule)
    assert schedule.release(first) == 2


def add_bulk(schedule: Schedule, lane: Lane, _: Lane) -> None:
    add(schedule, lane, priority="bulk")


def add_to_other(schedule: Schedule, _: Lane, other: Lane) -> None:
    add(schedule, other)


def shorten(schedule: Schedule, lane: Lane, _: Lane) -> None:
    for ticket in list(lane.queues["interactive"])[: MANY - 20]:
        schedule.withdraw(lane, ticket)


@pytest.mark.parametrize("change", [add_bulk, add_to_other, shorten])
def test_an_answer_waits_for_no_others_but_the_same_interactive_ones(
    generator: HeldGenerator, schedule: Schedule, lane: Lane, change: Callable[[Schedule, Lane, Lane], None]
) -> None:
    add(schedule, lane, times=MANY)
    first, _ = take(schedule), take(schedule)
    change(schedule, lane, Lane(generator, max_rows=4, seconds_per_row=0.001))
    assert schedule.release(first) == 1


def serve(schedule: Schedule, worker: int) -> None:
    """`worker` computes all that waits and goes to sleep."""
    while (batch := schedule.take(worker)) is not None:
        schedule.release(batch)


def test_a_request_that_is_alone_again_and_again_gets_the_same_worker(schedule: Schedule, lane: Lane) -> None:
    called = []
    for _ in range(20):
        add(schedule, lane)
        called += schedule.call()
        serve(schedule, called[-1])
    assert set(called[:4]) == {0, 1}, "at first they take turns"
    assert set(called[-10:]) == {0}


def test_among_several_clients_the_worker_that_slept_longest_is_called(schedule: Schedule, lane: Lane) -> None:
    add(schedule, lane, times=2)
    first, second = schedule.call()
    batches = [take(schedule), take(schedule)]
    for batch, worker in zip(batches, (second, first), strict=True):
        schedule.release(batch)
        serve(schedule, worker)
    add(schedule, lane)
    assert schedule.call() == [second]


def test_no_more_workers_are_called_than_rows_wait(schedule: Schedule, lane: Lane) -> None:
    add(schedule, lane)
    assert len(schedule.call()) == 1
    add(schedule, lane, 5)
    assert len(schedule.call()) == 1, "the other one is awake"
    assert not schedule.call()
