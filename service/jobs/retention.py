"""What is deleted, and when.

- Uploads and the files of data sets: at their `expires_at`, unless a job that is not over reads them.
- The folder of a job (checkpoints, unpacked images): when it has succeeded or was cancelled; of a failed one after
  `failed_s`; one that belongs to no job, or to one that another machine has ended, after a day.
- Jobs with their events, and the files they made: `jobs_s` after their end.
- Idempotency keys: after a day.
- Contents of files that no file has, which only a crash leaves: after a day.
- Versions of models that jobs made: all but the newest `keep_versions`, where that is not 0; never one that an alias
  means, or that a job which is not over begins with.
"""

import logging
import shutil
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, and_, delete, or_, select, update

from runtime.store import DirectoryStore
from service.database.database import Database
from service.database.tables import EVENTS, FILES, IDEMPOTENCY, JOBS
from service.files.file_store import FileStore
from service.jobs.folder import JobFolder
from service.jobs.states import FINAL

_LOG = logging.getLogger(__name__)
_DAY_S = 86_400.0
_AT_ONCE = 100


@dataclass(frozen=True)
class Rules:
    """Times in seconds; see the module's docstring."""

    jobs_s: float
    failed_s: float
    keep_versions: int = 0


class Retention:
    """See the module's docstring. Any number of servers may sweep one database."""

    def __init__(
        self,
        database: Database,
        files: FileStore,
        store: DirectoryStore,
        folders: Path,
        rules: Rules,
        *,
        in_use: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """`in_use` tells which versions stay whatever is newer, as ``name@version``: the targets of aliases."""
        self._in_use = in_use
        self._database = database
        self._files = files
        self._store = store
        self._folders = folders
        self._rules = rules

    def sweep(self) -> None:
        """Delete what is to be deleted now. Blocks."""
        expired = self._files.expire()
        swept = self._sweep_folders()
        forgotten = self._forget_jobs()
        self._forget_keys()
        orphans = self._files.sweep(_DAY_S)
        self._remove_strangers()
        versions = self._remove_versions() if self._rules.keep_versions else 0
        if expired or swept or forgotten or orphans or versions:
            _LOG.info(
                "deleted %d expired files, %d folders and %d rows of jobs, %d contents, %d versions",
                *(expired, swept, forgotten, orphans, versions),
            )

    def _sweep_folders(self) -> int:
        with self._database.reading() as connection:
            old = self._database.now(connection) - self._rules.failed_s
            over = or_(JOBS.c.state.in_(("succeeded", "cancelled")), JOBS.c.finished_at < old)
            query = select(JOBS.c.id).where(JOBS.c.state.in_(FINAL), JOBS.c.swept == 0, over).limit(_AT_ONCE)
            found = list(connection.execute(query).scalars())
        for job_id in found:
            JobFolder(self._folders / job_id).remove()
        if found:

            def work(connection: Connection) -> None:
                connection.execute(update(JOBS).where(JOBS.c.id.in_(found)).values(swept=1))

            self._database.write(work)
        return len(found)

    def _forget_jobs(self) -> int:
        def work(connection: Connection) -> tuple[list[str], list[str]]:
            before = self._database.now(connection) - self._rules.jobs_s
            old = and_(JOBS.c.state.in_(FINAL), JOBS.c.swept == 1, JOBS.c.finished_at < before)
            rows = connection.execute(select(JOBS.c.number, JOBS.c.id).where(old).limit(_AT_ONCE)).all()
            ids = [row.id for row in rows]
            made = connection.execute(delete(FILES).where(FILES.c.job_id.in_(ids)).returning(FILES.c.sha256))
            digests = list(made.scalars())
            connection.execute(delete(EVENTS).where(EVENTS.c.job_number.in_([row.number for row in rows])))
            connection.execute(delete(JOBS).where(JOBS.c.id.in_(ids)))
            return ids, digests

        ids, digests = self._database.write(work)
        self._files.drop(digests)
        return len(ids)

    def _forget_keys(self) -> None:
        def work(connection: Connection) -> None:
            before = self._database.now(connection) - _DAY_S
            connection.execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.created_at < before))

        self._database.write(work)

    def _remove_strangers(self) -> None:
        if not self._folders.is_dir():
            return
        old = [path for path in self._folders.iterdir() if path.stat().st_mtime < time.time() - _DAY_S]
        with self._database.reading() as connection:
            ended = JOBS.c.state.in_(("succeeded", "cancelled"))
            query = select(JOBS.c.id).where(JOBS.c.id.in_([path.name for path in old]), ~ended)
            known = set(connection.execute(query).scalars())
        for path in old:
            if path.name not in known:
                shutil.rmtree(path, ignore_errors=True)

    def _remove_versions(self) -> int:
        """A version is moved out of the store with one rename before it is deleted: no reader sees half of it."""
        with self._database.reading() as connection:
            query = select(JOBS.c.request, JOBS.c.result, JOBS.c.state).where(JOBS.c.kind == "fine_tuning")
            rows = connection.execute(query).all()
        in_use = set(self._in_use()) | {row.request["model"] for row in rows if row.state not in FINAL}
        made = {row.result["fine_tuned_model"] for row in rows if row.result and "fine_tuned_model" in row.result}
        count = 0
        for name, versions in self._store.versions().items():
            for version in versions[: -self._rules.keep_versions]:
                reference = f"{name}@{version}"
                if reference not in made or reference in in_use:
                    continue
                trash = self._store.root / ".staging" / f"deleted-{uuid.uuid4().hex}"
                trash.parent.mkdir(exist_ok=True)
                (self._store.root / name / str(version)).rename(trash)
                shutil.rmtree(trash, ignore_errors=True)
                count += 1
        return count
