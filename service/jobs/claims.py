"""Jobs and their events in the database: the runners' side.

A runner claims a job and holds it under a lease, which it renews. Each claim has a higher attempt number than the one
before, and every write says which attempt it belongs to: what a runner writes that stalled, and whose job another has
claimed meanwhile, changes nothing.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select, update

from service.database.database import Database
from service.database.tables import JOBS
from service.errors import NotFound
from service.jobs.records import Job, Kind, NewEvent
from service.jobs.states import HELD, State
from service.jobs.store import change_state, locked_jobs, read_job, write_events

MAX_FAILURES = 5
"""Attempts in a row that may end by a signal, or with their runner, before a job that makes no progress fails."""

_BACKOFF_S, _LONGEST_BACKOFF_S = 1.0, 60.0


class LostClaim(Exception):
    """The job is no longer this runner's: another attempt has it, or it is over."""


@dataclass(frozen=True)
class Claim:
    """A job, held by `worker` as attempt `attempt`."""

    job_id: str
    attempt: int
    worker: str


class Claims:
    """Everything that runners ask of jobs. Methods block."""

    def __init__(self, database: Database, worker: str, *, lease_s: float = 15.0) -> None:
        self.database = database
        self.worker = worker
        self.lease_s = lease_s

    def take(self, kinds: Sequence[Kind]) -> tuple[Claim, Job] | None:
        """Claim the oldest job of `kinds` that waits, or whose result waits to be published; None: there is none."""
        if not kinds:
            return None

        def waits(now: float) -> ColumnElement[bool]:
            waiting = and_(JOBS.c.state == "queued", JOBS.c.not_before <= now)
            unpublished = and_(JOBS.c.state == "finalizing", JOBS.c.lease_until < now)
            return and_(JOBS.c.kind.in_(kinds), or_(waiting, unpublished))

        with self.database.reading() as connection:  # mostly nothing waits: then nobody's way is barred
            if (
                connection.execute(select(JOBS.c.number).where(waits(self.database.now(connection))).limit(1)).first()
                is None
            ):
                return None

        def work(connection: Connection) -> tuple[Claim, Job] | None:
            now = self.database.now(connection)
            for job in locked_jobs(connection, waits(now), 1):
                attempt = job.attempt + 1
                event = NewEvent(f"attempt {attempt}: {'running' if job.state == 'queued' else 'publishing'}")
                last = write_events(connection, job.number, now, job.last_event, [event])
                values: dict[str, Any] = {
                    "attempt": attempt, "worker": self.worker, "lease_until": now + self.lease_s, "last_event": last,
                }  # fmt: skip
                if job.state == "queued":
                    values |= {"state": "running", "started_at": job.started_at or now}
                connection.execute(update(JOBS).where(JOBS.c.number == job.number).values(**values))
                return Claim(job.id, attempt, self.worker), read_job(connection, job.id)
            return None

        return self.database.write(work)

    def renew(self, claim: Claim) -> Job:
        """Hold the job for another lease; its state says what clients wish.

        Raises:
            LostClaim: it is no longer held.
        """

        def work(connection: Connection) -> Job:
            job = self._held(connection, claim)
            until = self.database.now(connection) + self.lease_s
            connection.execute(update(JOBS).where(JOBS.c.number == job.number).values(lease_until=until))
            return job

        return self.database.write(work)

    def append(self, claim: Claim, events: Sequence[NewEvent], *, tail: int | None = None) -> None:
        """Write events, and how far the process's own file has been read: both or neither. Progress forgives failures.

        Raises:
            LostClaim: as `renew`.
        """

        def work(connection: Connection) -> None:
            job = self._held(connection, claim)
            values = {} if tail is None or tail <= job.tail else {"tail": tail, "failures": 0}
            now = self.database.now(connection)
            write_events(connection, job.number, now, job.last_event, events, **values)

        self.database.write(work)

    def step(
        self,
        claim: Claim,
        after: State,
        events: Sequence[NewEvent] = (),
        *,
        result: Mapping[str, Any] | None = None,
        error: Mapping[str, Any] | None = None,
    ) -> Job:
        """Take the job to `after`. A job that is being cancelled becomes cancelled, whatever `after` is.

        Raises:
            LostClaim: as `renew`.
        """

        def work(connection: Connection) -> Job:
            job = self._held(connection, claim)
            now = self.database.now(connection)
            if job.state == "cancelling" and after != "cancelled":
                return change_state(connection, job, "cancelled", now, [NewEvent("cancelled")])
            values: dict[str, Any] = {}
            if result is not None:
                values["result"] = dict(result)
            if error is not None:
                values["error"] = dict(error)
            return change_state(connection, job, after, now, events, **values)

        return self.database.write(work)

    def give_up(self, claim: Claim, reason: str, *, own_fault: bool = True, wait_s: float = 0.0) -> Job:
        """The attempt has ended without a result: queue the job again, or fail it after `MAX_FAILURES` in a row.

        Args:
            own_fault: whether it counts as a failure; not where the runner itself stops in order, or is out of reach.
            wait_s: nobody takes it for so long, at least.

        Raises:
            LostClaim: as `renew`.
        """

        def work(connection: Connection) -> Job:
            job = self._held(connection, claim)
            return self._give_up(connection, job, reason, own_fault=own_fault, wait_s=wait_s)

        return self.database.write(work)

    def is_over(self, job_id: str) -> bool:
        """Whether nothing will happen to the job any more; True of one that has been deleted."""
        with self.database.reading() as connection:
            try:
                return read_job(connection, job_id).over
            except NotFound:
                return True

    def recover(self, is_gone: Callable[[str], bool]) -> int:
        """Take back the jobs of runners that are gone: those whose lease has passed, or whose names `is_gone` knows to
        be of processes that have ended.

        Returns the number of jobs.
        """
        with self.database.reading() as connection:
            if connection.execute(select(JOBS.c.number).where(JOBS.c.state.in_(HELD)).limit(1)).first() is None:
                return 0

        def work(connection: Connection) -> int:
            now, count = self.database.now(connection), 0
            for job in locked_jobs(connection, JOBS.c.state.in_(HELD), 1000):
                until = connection.execute(select(JOBS.c.lease_until).where(JOBS.c.number == job.number)).scalar_one()
                passed = until is None or until < now
                if not passed and not (job.worker and is_gone(job.worker)):
                    continue
                if job.state == "finalizing":  # `take` hands it to whoever comes, to be published to its end
                    if passed:
                        continue
                    connection.execute(update(JOBS).where(JOBS.c.number == job.number).values(lease_until=0.0))
                else:
                    self._give_up(connection, job, "its runner has gone")
                count += 1
            return count

        return self.database.write(work)

    def _give_up(
        self, connection: Connection, job: Job, reason: str, *, own_fault: bool = True, wait_s: float = 0.0
    ) -> Job:
        now = self.database.now(connection)
        if job.state == "cancelling":
            return change_state(connection, job, "cancelled", now, [NewEvent("cancelled")])
        if job.state == "pausing":
            return change_state(connection, job, "paused", now, [NewEvent("paused")])
        failures = job.failures + own_fault
        if failures >= MAX_FAILURES:
            message = f"{reason}; that was the case {failures} times in a row, without progress between them"
            error = {"code": "process_died", "message": message}
            return change_state(connection, job, "failed", now, [NewEvent(message, "error")], error=error)
        # Without failures at once: the process was killed after it had got on.
        wait = 0.0 if failures <= 1 else min(_LONGEST_BACKOFF_S, _BACKOFF_S * 2.0 ** (failures - 2))
        wait = max(wait * random.uniform(0.8, 1.2), wait_s)
        event = NewEvent(
            f"attempt {job.attempt} ended: {reason}; waiting for a runner", "warn" if own_fault else "info"
        )
        return change_state(connection, job, "queued", now, [event], failures=failures, not_before=now + wait)

    def _held(self, connection: Connection, claim: Claim) -> Job:
        job = read_job(connection, claim.job_id, lock=True)
        if job.attempt != claim.attempt or job.worker != claim.worker or job.state not in HELD:
            raise LostClaim(
                f"{claim.job_id}: attempt {claim.attempt} of {claim.worker} is over, the job is {job.state}"
            )
        return job
