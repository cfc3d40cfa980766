"""What clients ask of jobs: one contract over both databases."""

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import insert

from service.database.database import Database
from service.database.tables import FILES
from service.errors import Conflict, InvalidRequest, NotFound
from service.jobs.claims import Claims
from service.jobs.records import Job, NewEvent
from service.jobs.store import JobStore


def create(jobs: JobStore, **request: object) -> Job:
    return jobs.create("dataset", {"options": {}, **request})


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Run `work` in threads that begin together; any failure is the test's."""
    failures: list[BaseException] = []
    barrier = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            barrier.wait()
            work(number)
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def test_a_new_job_is_queued_and_says_so(jobs: JobStore) -> None:
    job = jobs.create("fine_tuning", {"model": "tiny@1", "numbers": [1, 2.5, None]})
    assert (job.kind, job.state, job.status, job.attempt, job.last_event) == ("fine_tuning", "queued", "queued", 0, 1)
    assert job.id.startswith("ftjob-")
    assert job.request == {"model": "tiny@1", "numbers": [1, 2.5, None]}
    assert jobs.get(job.id) == job
    assert [event.message for event in jobs.events(job.id).items] == ["created, waiting for a runner"]


def test_what_does_not_exist_is_not_found(jobs: JobStore) -> None:
    with pytest.raises(NotFound, match="'nothing'"):
        jobs.get("nothing")
    job = create(jobs)
    with pytest.raises(NotFound):
        jobs.get(job.id, "fine_tuning")


def test_a_key_makes_one_job_however_often_and_from_where_it_comes(jobs: JobStore) -> None:
    made: list[str] = []
    in_threads(8, lambda _: made.append(jobs.create("dataset", {"n": 1}, idempotency_key="key").id))
    assert len(set(made)) == 1
    assert len(jobs.page("dataset").items) == 1
    with pytest.raises(Conflict, match="another request"):
        jobs.create("dataset", {"n": 2}, idempotency_key="key")
    assert jobs.create("fine_tuning", {"n": 1}, idempotency_key="key").id not in made
    with pytest.raises(InvalidRequest, match="1 to 255"):
        jobs.create("dataset", {"n": 1}, idempotency_key="x" * 256)


def test_what_was_asked_decides_whether_a_key_is_repeated(jobs: JobStore) -> None:
    first = jobs.create("dataset", {"model": "tiny@1"}, idempotency_key="k", asked={"model": "tiny"})
    again = jobs.create("dataset", {"model": "tiny@2"}, idempotency_key="k", asked={"model": "tiny"})
    assert again.id == first.id
    assert again.request == {"model": "tiny@1"}


def test_pages_are_newest_first_and_complete(jobs: JobStore) -> None:
    made = [create(jobs, number=number).id for number in range(7)]
    jobs.create("fine_tuning", {})
    seen: list[str] = []
    after = None
    while True:
        page = jobs.page("dataset", after=after, limit=3)
        seen += [job.id for job in page.items]
        if not page.has_more:
            break
        after = seen[-1]
    assert seen == made[::-1]
    chosen = jobs.page("dataset", limit=2, where=lambda job: job.request["number"] % 2 == 0)
    assert [job.request["number"] for job in chosen.items] == [6, 4]
    assert chosen.has_more
    with pytest.raises(InvalidRequest, match="after"):
        jobs.page("dataset", after="nothing")


def test_events_are_numbered_without_a_gap_whoever_writes_them(jobs: JobStore, claims: Claims) -> None:
    job = create(jobs)
    taken = claims.take(["dataset"])
    assert taken is not None
    claim = taken[0]

    def write(n: int) -> None:
        for i in range(5):
            claims.append(claim, [NewEvent(f"{n}.{i}"), NewEvent("and")])

    in_threads(6, write)
    _, events = jobs.events_after(job.id, 0)
    assert [event.sequence for event in events] == list(range(1, 63))
    assert jobs.get(job.id).last_event == 62
    assert [event.sequence for event in jobs.events_after(job.id, 60)[1]] == [61, 62]
    assert jobs.events_after(job.id, 62)[1] == []


def test_event_pages_go_back_in_time_and_know_types(jobs: JobStore, claims: Claims) -> None:
    job = create(jobs)
    taken = claims.take(["dataset"])
    assert taken is not None
    kinds = ["metrics", "checkpoint"] * 5
    claims.append(taken[0], [NewEvent(str(n), type=kind, data={"n": n}) for n, kind in enumerate(kinds)])
    first = jobs.events(job.id, limit=4)
    assert [event.sequence for event in first.items] == [12, 11, 10, 9]
    assert first.has_more
    rest = jobs.events(job.id, before=9, limit=100)
    assert [event.sequence for event in rest.items] == [8, 7, 6, 5, 4, 3, 2, 1]
    assert not rest.has_more
    only = jobs.events(job.id, types=("checkpoint",), limit=2)
    assert [event.data for event in only.items] == [{"n": 9}, {"n": 7}]


@pytest.mark.parametrize(
    ("verb", "before", "after"),
    [
        ("cancel", "queued", "cancelled"),
        ("cancel", "running", "cancelling"),
        ("cancel", "cancelled", "cancelled"),
        ("pause", "queued", "paused"),
        ("pause", "running", "pausing"),
        ("resume", "paused", "queued"),
        ("resume", "queued", "queued"),
        ("cancel", "paused", "cancelled"),
        ("cancel", "pausing", "cancelling"),
    ],
)
def test_wishes_take_effect(jobs: JobStore, claims: Claims, verb: str, before: str, after: str) -> None:
    job = _in_state(jobs, claims, before)
    changed = getattr(jobs, verb)(job.id, "dataset")
    assert changed.state == after
    assert jobs.get(job.id).state == after


@pytest.mark.parametrize(
    ("verb", "state"),
    [
        ("cancel", "finalizing"),
        ("cancel", "succeeded"),
        ("cancel", "failed"),
        ("pause", "succeeded"),
        ("pause", "cancelling"),
        ("resume", "cancelled"),
        ("resume", "pausing"),
    ],
)
def test_wishes_that_come_too_late_are_refused(jobs: JobStore, claims: Claims, verb: str, state: str) -> None:
    job = _in_state(jobs, claims, state)
    events = jobs.get(job.id).last_event
    with pytest.raises(Conflict, match=f"is {state} and cannot be {verb.removesuffix('e')}"):
        getattr(jobs, verb)(job.id, "dataset")
    assert jobs.get(job.id).state == state
    assert jobs.get(job.id).last_event == events


def _in_state(jobs: JobStore, claims: Claims, state: str) -> Job:
    job = create(jobs)
    if state in ("queued", "cancelled", "paused"):
        if state != "queued":
            getattr(jobs, {"cancelled": "cancel", "paused": "pause"}[state])(job.id, "dataset")
        return jobs.get(job.id)
    taken = claims.take(["dataset"])
    assert taken is not None
    if state == "pausing":
        jobs.pause(job.id, "dataset")
    elif state == "cancelling":
        jobs.cancel(job.id, "dataset")
    elif state == "failed":
        claims.step(taken[0], "failed", error={"code": "x", "message": "y"})
    elif state in ("finalizing", "succeeded"):
        claims.step(taken[0], "finalizing")
        if state == "succeeded":
            claims.step(taken[0], "succeeded", result={"rows": 1})
    return jobs.get(job.id)


def test_times_are_set_when_things_happen(jobs: JobStore, claims: Claims) -> None:
    job = _in_state(jobs, claims, "succeeded")
    assert job.started_at is not None
    assert job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at
    assert job.result == {"rows": 1}
    assert job.over


def test_counts_know_every_kind_and_status(jobs: JobStore, claims: Claims) -> None:
    _in_state(jobs, claims, "pausing")
    create(jobs)
    counts = jobs.counts()
    assert counts["dataset", "running"] == 1
    assert counts["dataset", "queued"] == 1
    assert counts["fine_tuning", "failed"] == 0
    assert {status for _, status in counts} == {"queued", "running", "paused", "succeeded", "failed", "cancelled"}


def test_a_job_reads_files_that_exist(jobs: JobStore, database: Database) -> None:
    with pytest.raises(InvalidRequest, match="file-1 has been deleted"):
        jobs.create("fine_tuning", {}, files=["file-1"])
    assert jobs.page("fine_tuning").items == []
    with database.writing() as connection:
        values = {"id": "file-1", "filename": "a.zip", "purpose": "fine-tune", "size": 1, "sha256": "0" * 64}
        connection.execute(insert(FILES).values(**values, report={}, created_at=1.0))
    assert jobs.create("fine_tuning", {}, files=["file-1"]).state == "queued"


def test_the_newest_numbers_of_a_training_that_runs(jobs: JobStore, claims: Claims) -> None:
    assert jobs.latest_numbers() == {}
    create(jobs)
    taken = claims.take(["dataset"])
    assert taken is not None
    said = [
        NewEvent("1", type="metrics", data={"images": 64}, created_at=1.0),
        NewEvent("2", type="metrics", data={"images": 128, "loss_generator": 0.5}, created_at=2.0),
        NewEvent("3", type="progress", data={"images": 256}, created_at=3.0),
    ]
    claims.append(taken[0], said)
    assert jobs.latest_numbers() == {"images": 128, "loss_generator": 0.5}
    claims.step(taken[0], "failed")
    assert jobs.latest_numbers() == {}
