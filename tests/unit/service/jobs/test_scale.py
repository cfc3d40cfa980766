"""Lists and streams stay quick when there are many jobs and events."""

import time
from collections.abc import Callable

import pytest

from service.database.database import Database
from service.jobs.claims import Claims
from service.jobs.records import NewEvent
from service.jobs.store import JobStore, read_job, write_events
from tests.unit.service.jobs.test_store import create

JOBS, EVENTS = 1_000, 100_000
WITHIN_S = 0.1  # what issue 8 asks for


@pytest.mark.slow
def test_a_thousand_jobs_and_a_hundred_thousand_events(jobs: JobStore, claims: Claims, database: Database) -> None:
    made = [create(jobs, number=number).id for number in range(JOBS)]
    long = made[JOBS // 2]
    with database.writing() as connection:
        for _ in range(EVENTS // 1000):
            job = read_job(connection, long)
            events = [NewEvent("metrics", type="metrics", data={"images": n, "loss": 0.5}) for n in range(1000)]
            write_events(connection, job.number, 1.0, job.last_event, events)
    assert jobs.get(long).last_event == EVENTS + 1
    calls: dict[str, Callable[[], object]] = {
        "newest jobs": lambda: jobs.page("dataset", limit=100),
        "oldest jobs": lambda: jobs.page("dataset", after=made[101], limit=100),
        "newest events": lambda: jobs.events(long, limit=100),
        "events in the middle": lambda: jobs.events_after(long, EVENTS // 2, 500),
        "nothing new": lambda: jobs.events_after(long, EVENTS + 1),
        "checkpoints": lambda: jobs.events(long, types=("checkpoint",), limit=100),
        "one job": lambda: jobs.get(long),
        "counts": jobs.counts,
        "claim": lambda: claims.take(["dataset"]),
    }
    for name, call in calls.items():
        seconds = []
        for _ in range(20):
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
        print(f"{name}: median {sorted(seconds)[10] * 1e3:.1f} ms, worst {max(seconds) * 1e3:.1f} ms")
        assert sorted(seconds)[18] < WITHIN_S, name
    seen, after = 0, 0
    while True:
        _, found = jobs.events_after(long, after, 500)
        if not found:
            break
        assert [event.sequence for event in found] == list(range(after + 1, after + len(found) + 1))
        seen, after = seen + len(found), found[-1].sequence
    assert seen == EVENTS + 1
