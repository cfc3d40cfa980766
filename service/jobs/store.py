"""Jobs and their events in the database: the clients' side. The runners' side is `service.jobs.claims`."""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, insert, select, update

from service.database.database import Database
from service.database.tables import EVENTS, FILE_USES, FILES, IDEMPOTENCY, JOBS
from service.errors import Conflict, InvalidRequest, NotFound
from service.jobs.records import ID_PREFIXES, Event, Job, Kind, NewEvent, Page
from service.jobs.states import HELD, ON_WIRE, State, check_step

_COLUMNS = [
    JOBS.c[name]
    for name in (
        "number", "id", "kind", "state", "request", "created_at", "started_at", "finished_at", "result", "error",
        "attempt", "worker", "failures", "last_event", "tail",
    )
]  # fmt: skip
_EVENT_COLUMNS = [EVENTS.c[name] for name in ("sequence", "created_at", "level", "type", "message", "data")]
_LONGEST_MESSAGE = 2000
_LONGEST_KEY = 255


class JobStore:
    """Everything that clients ask of jobs. Methods block; call them from a thread."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def create(
        self,
        kind: Kind,
        request: Mapping[str, Any],
        *,
        files: Sequence[str] = (),
        idempotency_key: str | None = None,
        asked: Mapping[str, Any] | None = None,
    ) -> Job:
        """A new job, queued; or the first one that was made under `idempotency_key`.

        Args:
            files: ids of the files it reads; they stay until it is over.
            asked: what the client sent, which a repeated key must repeat; by default `request`.

        Raises:
            Conflict: the key was used for another request.
            InvalidRequest: the key is too long, or a file has gone.
        """
        digest = hashlib.sha256(json.dumps(request if asked is None else asked, sort_keys=True).encode()).hexdigest()
        if idempotency_key is not None and not 0 < len(idempotency_key) <= _LONGEST_KEY:
            raise InvalidRequest.field("Idempotency-Key", idempotency_key, f"1 to {_LONGEST_KEY} characters")
        key = None if idempotency_key is None else f"{kind}:{idempotency_key}"

        def work(connection: Connection) -> Job:
            now = self.database.now(connection)
            if key is not None:
                row = connection.execute(select(IDEMPOTENCY).where(IDEMPOTENCY.c.key == key)).one_or_none()
                if row is not None:
                    if row.digest != digest:
                        raise Conflict(
                            f"Idempotency-Key: {idempotency_key!r} was used for another request ({row.job_id}); "
                            "allowed: the same request again, or a new key"
                        )
                    return read_job(connection, row.job_id)
            job_id = f"{ID_PREFIXES[kind]}-{secrets.token_hex(12)}"
            for file_id in dict.fromkeys(files):
                # Under the row's lock: whoever deletes the file looks for its uses under the same.
                held = select(FILES.c.id).where(FILES.c.id == file_id).with_for_update()
                if connection.execute(held).one_or_none() is None:
                    raise InvalidRequest(f"file: {file_id} has been deleted; allowed: upload it again", param="file")
                connection.execute(insert(FILE_USES).values(file_id=file_id, job_id=job_id))
            values = {"id": job_id, "kind": kind, "state": "queued", "request": dict(request), "created_at": now}
            zeros = dict.fromkeys(("attempt", "not_before", "failures", "last_event", "tail", "swept"), 0)
            number = connection.execute(insert(JOBS).values(**values, **zeros).returning(JOBS.c.number)).scalar_one()
            if key is not None:
                entry = {"key": key, "digest": digest, "job_id": job_id, "created_at": now}
                connection.execute(insert(IDEMPOTENCY).values(entry))
            write_events(connection, number, now, 0, [NewEvent("created, waiting for a runner")])
            return read_job(connection, job_id)

        return self.database.write(work)

    def get(self, job_id: str, kind: Kind | None = None) -> Job:
        """The job called `job_id`.

        Raises:
            NotFound: no such job, or one of another kind.
        """
        with self.database.reading() as connection:
            return read_job(connection, job_id, kind)

    def page(
        self, kind: Kind, *, after: str | None = None, limit: int = 20, where: Callable[[Job], bool] | None = None
    ) -> Page[Job]:
        """Jobs of `kind`, newest first, from the one behind `after` on.

        Args:
            where: keeps the jobs for which it is true.

        Raises:
            InvalidRequest: no job is called `after`.
        """
        query = select(*_COLUMNS).where(JOBS.c.kind == kind).order_by(JOBS.c.number.desc())
        with self.database.reading() as connection:
            if after is not None:
                number = select(JOBS.c.number).where(JOBS.c.id == after, JOBS.c.kind == kind)
                found = connection.execute(number).scalar_one_or_none()
                if found is None:
                    raise InvalidRequest.field("after", after, "the id of a job of the list")
                query = query.where(JOBS.c.number < found)
            if where is None:
                jobs = [_job(row) for row in connection.execute(query.limit(limit + 1))]
            else:
                jobs = []
                for row in connection.execution_options(yield_per=200).execute(query):
                    if where(job := _job(row)):
                        jobs.append(job)
                    if len(jobs) > limit:
                        break
        return Page(jobs[:limit], len(jobs) > limit)

    def events(
        self, job_id: str, *, before: int | None = None, types: Iterable[str] = (), limit: int = 20
    ) -> Page[Event]:
        """Events of a job, newest first, older than sequence number `before`; of `types` alone where any is given."""
        with self.database.reading() as connection:
            job = read_job(connection, job_id)
            query = _events_of(job.number).order_by(EVENTS.c.sequence.desc()).limit(limit + 1)
            if before is not None:
                query = query.where(EVENTS.c.sequence < before)
            if chosen := tuple(types):
                query = query.where(EVENTS.c.type.in_(chosen))
            found = [_event(row) for row in connection.execute(query)]
        return Page(found[:limit], len(found) > limit)

    def events_after(self, job_id: str, sequence: int, limit: int = 500) -> tuple[Job, list[Event]]:
        """The job, and its events from `sequence` + 1 on, oldest first, at most `limit` of them.

        A job that is over has written all its events before it said so, so that nothing is missed by who stops
        at an empty list of a job that is over.
        """
        with self.database.reading() as connection:
            job = read_job(connection, job_id)
            if job.last_event <= sequence:
                return job, []
            query = _events_of(job.number).where(EVENTS.c.sequence > sequence).order_by(EVENTS.c.sequence).limit(limit)
            return job, [_event(row) for row in connection.execute(query)]

    def cancel(self, job_id: str, kind: Kind) -> Job:
        """Cancel a job; a job that is cancelled already stays so.

        Raises:
            NotFound: no such job.
            Conflict: it is over, or its result is being published.
        """
        steps: dict[State, State] = {
            "queued": "cancelled", "paused": "cancelled", "running": "cancelling", "pausing": "cancelling",
        }  # fmt: skip
        return self._wish(job_id, kind, "cancelled", steps, unchanged=("cancelling", "cancelled"))

    def pause(self, job_id: str, kind: Kind) -> Job:
        """Stop a job at its next checkpoint, to go on when it is resumed.

        Raises:
            NotFound, Conflict: as `cancel`.
        """
        steps: dict[State, State] = {"queued": "paused", "running": "pausing"}
        return self._wish(job_id, kind, "paused", steps, unchanged=("pausing", "paused"))

    def resume(self, job_id: str, kind: Kind) -> Job:
        """Queue a paused job again.

        Raises:
            NotFound, Conflict: as `cancel`; a job that is still pausing cannot be resumed yet.
        """
        return self._wish(job_id, kind, "resumed", {"paused": "queued"}, unchanged=("queued", "running"))

    def counts(self) -> dict[tuple[str, str], int]:
        """Jobs by kind and status word; those without any are there with 0."""
        counts: dict[tuple[str, str], int] = {(kind, status): 0 for kind in ID_PREFIXES for status in ON_WIRE.values()}
        query = select(JOBS.c.kind, JOBS.c.state, func.count()).group_by(JOBS.c.kind, JOBS.c.state)
        with self.database.reading() as connection:
            for kind, state, number in connection.execute(query):
                counts[kind, ON_WIRE[state]] += number
        return counts

    def latest_numbers(self) -> Mapping[str, Any]:
        """What the training that reported last, of those that run, has said of itself; empty where none has."""
        running = select(JOBS.c.number).where(JOBS.c.state.in_(HELD))
        newest: Mapping[str, Any] = {}
        at = float("-inf")
        with self.database.reading() as connection:
            for number in connection.execute(running).scalars().all():
                query = _events_of(number).where(EVENTS.c.type == "metrics").order_by(EVENTS.c.sequence.desc()).limit(1)
                row = connection.execute(query).one_or_none()
                if row is not None and row.created_at > at:
                    newest, at = row.data or {}, row.created_at
        return newest

    def _wish(
        self, job_id: str, kind: Kind, done: str, steps: Mapping[State, State], unchanged: Sequence[State]
    ) -> Job:
        def work(connection: Connection) -> Job:
            job = read_job(connection, job_id, kind, lock=True)
            if job.state in unchanged:
                return job
            after = steps.get(job.state)
            if after is None:
                allowed = ", ".join(dict.fromkeys((*steps, *unchanged)))
                raise Conflict(f"{job_id} is {job.state} and cannot be {done}; allowed: {allowed}")
            return change_state(connection, job, after, self.database.now(connection), [NewEvent(_SAID[after])])

        return self.database.write(work)


_SAID: dict[State, str] = {
    "cancelled": "cancelled",
    "cancelling": "cancel asked for: its process is being ended",
    "pausing": "pause asked for: its process is to save and end",
    "paused": "paused",
    "queued": "resumed, waiting for a runner",
}


def read_job(connection: Connection, job_id: str, kind: Kind | None = None, *, lock: bool = False) -> Job:
    """The job `job_id`, locked until the transaction ends where `lock` says so.

    Raises:
        NotFound: no such job of that kind.
    """
    query = select(*_COLUMNS).where(JOBS.c.id == job_id)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None or (kind is not None and row.kind != kind):
        raise NotFound(f"job: got {job_id!r:.80}; allowed: the id of a job of this server", param="job")
    return _job(row)


def change_state(
    connection: Connection, job: Job, after: State, now: float, events: Sequence[NewEvent] = (), **values: Any
) -> Job:
    """Take a job, whose row is locked, to another state, and write what is to be said of it."""
    check_step(job.state, after)
    last = write_events(connection, job.number, now, job.last_event, events)
    values |= {"state": after, "last_event": last}
    if after in ("succeeded", "failed", "cancelled"):
        values |= {"finished_at": now, "lease_until": None}
        release_files(connection, job.id)
    if after in ("queued", "paused"):
        values |= {"worker": None, "lease_until": None}
    row = connection.execute(
        update(JOBS).where(JOBS.c.number == job.number).values(**values).returning(*_COLUMNS)
    ).one()
    return _job(row)


def write_events(
    connection: Connection, number: int, now: float, last: int, events: Sequence[NewEvent], **values: Any
) -> int:
    """Append `events` behind sequence number `last` of the job `number`, whose row is locked; returns the new last."""
    if events:
        rows = [
            {
                "job_number": number, "sequence": last + place, "created_at": event.created_at or now,
                "level": event.level, "type": event.type[:16], "message": event.message[:_LONGEST_MESSAGE],
                "data": None if event.data is None else dict(event.data),
            }
            for place, event in enumerate(events, start=1)
        ]  # fmt: skip
        connection.execute(insert(EVENTS), rows)
    if events or values:
        values |= {"last_event": last + len(events)}
        connection.execute(update(JOBS).where(JOBS.c.number == number).values(**values))
    return last + len(events)


def release_files(connection: Connection, job_id: str) -> None:
    """Let the files that a job reads be deleted."""
    connection.execute(delete(FILE_USES).where(FILE_USES.c.job_id == job_id))


def locked_jobs(connection: Connection, condition: ColumnElement[bool], limit: int) -> list[Job]:
    """Jobs that fulfil `condition`, oldest first, locked; those that another holds are left out."""
    query = select(*_COLUMNS).where(condition).order_by(JOBS.c.number).limit(limit)
    return [_job(row) for row in connection.execute(query.with_for_update(skip_locked=True))]


def _events_of(number: int) -> Select[Any]:
    return select(*_EVENT_COLUMNS).where(EVENTS.c.job_number == number)


def _job(row: Row[Any]) -> Job:
    return Job(**row._mapping)


def _event(row: Row[Any]) -> Event:
    return Event(**row._mapping)
