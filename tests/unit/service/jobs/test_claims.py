"""What runners ask of jobs: leases and fences, one contract over both databases."""

import random
import time
from contextlib import suppress

import pytest
from sqlalchemy import update

from service.database.database import Database
from service.database.tables import JOBS
from service.errors import Conflict
from service.jobs.claims import MAX_FAILURES, Claim, Claims, LostClaim
from service.jobs.records import Job, NewEvent
from service.jobs.store import JobStore
from tests.unit.service.jobs.test_store import create, in_threads


def take(claims: Claims) -> tuple[Claim, Job]:
    taken = claims.take(["dataset"])
    assert taken is not None
    return taken


def nobody(_worker: str) -> bool:
    return False


def test_the_oldest_job_is_taken_first_and_once(jobs: JobStore, claims: Claims) -> None:
    made = [create(jobs).id for _ in range(3)]
    jobs.create("fine_tuning", {})
    taken = [take(claims) for _ in made]
    assert [claim.job_id for claim, _ in taken] == made
    assert {job.state for _, job in taken} == {"running"}
    assert claims.take(["dataset"]) is None
    assert claims.take([]) is None


def test_many_runners_never_take_one_job_twice(jobs: JobStore, database: Database) -> None:
    made = {create(jobs).id for _ in range(30)}
    taken: list[str] = []

    def run(number: int) -> None:
        own = Claims(database, f"worker {number}")
        while (found := own.take(["dataset"])) is not None:
            taken.append(found[0].job_id)

    in_threads(6, run)
    assert sorted(taken) == sorted(made)


def test_a_lease_that_has_passed_lets_another_take_the_job_and_shuts_the_first_out(
    jobs: JobStore, database: Database
) -> None:
    job = create(jobs)
    first, second = Claims(database, "first", lease_s=0.05), Claims(database, "second")
    old, _ = take(first)
    assert second.recover(nobody) == 0
    time.sleep(0.1)
    assert second.recover(nobody) == 1
    with pytest.raises(LostClaim):
        first.renew(old)
    new, again = take(second)
    assert (new.attempt, again.attempt) == (2, 2)
    before = jobs.get(job.id)
    for write in (
        lambda: first.append(old, [NewEvent("late")], tail=99),
        lambda: first.step(old, "finalizing"),
        lambda: first.step(old, "failed", error={"code": "x", "message": "late"}),
        lambda: first.give_up(old, "late"),
        lambda: first.renew(old),
    ):
        with pytest.raises(LostClaim):
            write()
    assert jobs.get(job.id) == before
    second.step(new, "finalizing")
    assert second.step(new, "succeeded", result={"rows": 1}).state == "succeeded"
    with pytest.raises(LostClaim):
        second.append(new, [NewEvent("after the end")])


def test_a_lease_that_is_renewed_holds(jobs: JobStore, database: Database) -> None:
    create(jobs)
    holder, other = Claims(database, "holder", lease_s=0.3), Claims(database, "other")
    claim, _ = take(holder)
    for _ in range(4):
        time.sleep(0.1)
        holder.renew(claim)
        assert other.recover(nobody) == 0
    assert other.take(["dataset"]) is None


def test_a_runner_that_is_known_to_be_gone_is_not_waited_for(jobs: JobStore, claims: Claims) -> None:
    job = create(jobs)
    take(claims)
    assert claims.recover(lambda worker: worker == "a") == 1
    assert jobs.get(job.id).state == "queued"


def test_what_was_wished_meanwhile_comes_true_when_the_runner_is_gone(jobs: JobStore, claims: Claims) -> None:
    paused, cancelled = create(jobs), create(jobs)
    take(claims)
    take(claims)
    jobs.pause(paused.id, "dataset")
    jobs.cancel(cancelled.id, "dataset")
    assert claims.recover(lambda _: True) == 2
    assert jobs.get(paused.id).state == "paused"
    assert jobs.get(cancelled.id).state == "cancelled"


def test_publishing_goes_on_where_a_runner_died(jobs: JobStore, claims: Claims) -> None:
    job = create(jobs)
    claim, _ = take(claims)
    claims.step(claim, "finalizing")
    assert claims.take(["dataset"]) is None
    assert claims.recover(lambda _: True) == 1
    again, found = take(claims)
    assert (again.attempt, found.state) == (2, "finalizing")
    assert claims.step(again, "succeeded", result={}).state == "succeeded"
    assert jobs.get(job.id).attempt == 2


def test_a_job_that_is_being_cancelled_becomes_nothing_else(jobs: JobStore, claims: Claims) -> None:
    for after in ("finalizing", "failed", "paused"):
        job = create(jobs)
        claim, _ = take(claims)
        jobs.cancel(job.id, "dataset")
        assert claims.step(claim, after).state == "cancelled"
        assert jobs.get(job.id).finished_at is not None


def test_attempts_without_progress_are_counted_and_end(jobs: JobStore, claims: Claims, database: Database) -> None:
    job = create(jobs)
    for failure in range(1, MAX_FAILURES + 1):
        _skip_backoff(database)
        claim, _ = take(claims)
        after = claims.give_up(claim, "its process was ended by signal 9")
        assert after.failures == (failure if failure < MAX_FAILURES else MAX_FAILURES - 1)
    ended = jobs.get(job.id)
    assert ended.state == "failed"
    assert ended.error is not None
    assert ended.error["code"] == "process_died"
    assert "signal 9; that was the case 5 times in a row" in ended.error["message"]


def test_progress_forgives_and_a_runner_that_stops_in_order_does_not_count(
    jobs: JobStore, claims: Claims, database: Database
) -> None:
    job = create(jobs)
    for number in range(2 * MAX_FAILURES):
        _skip_backoff(database)
        claim, _ = take(claims)
        claims.append(claim, [NewEvent("on")], tail=number + 1)
        claims.give_up(claim, "killed")
        assert jobs.get(job.id).failures == 1
        _skip_backoff(database)
        claim, _ = take(claims)
        assert claims.give_up(claim, "its runner stops", own_fault=False).failures == 1
    assert jobs.get(job.id).state == "queued"


def test_a_second_failure_in_a_row_waits(jobs: JobStore, claims: Claims) -> None:
    create(jobs)
    for _ in range(2):
        claim, _ = take(claims)
        claims.give_up(claim, "killed")
    assert claims.take(["dataset"]) is None


def test_events_and_their_place_are_stored_together(jobs: JobStore, claims: Claims) -> None:
    job = create(jobs)
    claim, _ = take(claims)
    claims.append(claim, [NewEvent("one"), NewEvent("two", "warn", "metrics", {"loss": 0.5})], tail=2)
    found = jobs.get(job.id)
    assert (found.tail, found.last_event) == (2, 4)
    event = jobs.events(job.id, limit=1).items[0]
    assert (event.level, event.type, event.message, event.data) == ("warn", "metrics", "two", {"loss": 0.5})


ACTIONS = ("take", "append", "finalize", "succeed", "give_up", "cancel", "pause", "resume", "gone")


@pytest.mark.parametrize("seed", range(3))
def test_no_order_of_calls_breaks_a_job(jobs: JobStore, database: Database, seed: int) -> None:
    """Two runners and a client at random: states follow only as they may, and events stay without a gap."""
    chance = random.Random(seed)
    workers = [Claims(database, name, lease_s=60) for name in ("a", "b")]
    held: list[tuple[Claims, Claim]] = []
    made = [create(jobs).id for _ in range(4)]
    seen = set()
    for _ in range(150):
        _skip_backoff(database)
        with suppress(LostClaim, Conflict):
            _act(chance.choice(ACTIONS), chance, jobs, workers, held)
        seen |= {jobs.get(job_id).state for job_id in made}
    assert {"queued", "running", "finalizing"} < seen
    for job_id in made:
        job, events = jobs.events_after(job_id, 0, limit=10_000)
        assert [event.sequence for event in events] == list(range(1, job.last_event + 1))


def _act(
    action: str, chance: random.Random, jobs: JobStore, workers: list[Claims], held: list[tuple[Claims, Claim]]
) -> None:
    if action == "take":
        worker = chance.choice(workers)
        if (taken := worker.take(["dataset"])) is not None:
            held.append((worker, taken[0]))
    elif action == "gone":
        workers[0].recover(lambda name: name == "b")
    elif action in ("cancel", "pause", "resume"):
        getattr(jobs, action)(chance.choice(jobs.page("dataset").items).id, "dataset")
    elif held:
        worker, claim = chance.choice(held)
        state = jobs.get(claim.job_id).state
        if action == "append":
            worker.append(claim, [NewEvent("x")])
        elif action == "finalize" and state != "finalizing":
            worker.step(claim, "finalizing")
        elif action == "succeed" and state == "finalizing":
            worker.step(claim, "succeeded", result={})
        elif action == "give_up" and state != "finalizing":
            worker.give_up(claim, "x")


def _skip_backoff(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(update(JOBS).values(not_before=0.0))
