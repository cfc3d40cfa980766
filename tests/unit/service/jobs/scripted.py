"""A kind of job whose process does what a test says, under a real supervisor."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.database.database import Database
from service.jobs.claims import Claims
from service.jobs.folder import JobFolder
from service.jobs.local_runner import LocalLimits, LocalRunner
from service.jobs.records import Job
from service.jobs.runner import Runner
from service.jobs.supervisor import Pace, Supervisor

PACE = Pace(look=0.02, idle=0.02, renew=0.1, recover=0.1, save=5.0)

HEAD = """
import os, pathlib, signal, sys, time
from runtime.event_file import EventFile
folder = pathlib.Path(sys.argv[1])
events = EventFile(folder / "events.jsonl", attempt=int(sys.argv[2]))
def done(): (folder / "result.json").write_text('{"ok": true}')
"""


@dataclass
class Scripted:
    """See `service.jobs.work.Work`; the request's `code` is the process's."""

    published: list[str] = field(default_factory=list)
    on_prepare: Callable[[Job], object] = lambda _job: None
    on_publish: Callable[[Job], object] = lambda _job: None

    def prepare(self, job: Job, folder: JobFolder) -> list[str]:
        self.on_prepare(job)
        folder.path.mkdir(parents=True, exist_ok=True)
        return [sys.executable, "-c", HEAD + job.request["code"], str(folder.path), str(job.attempt)]

    def publish(self, job: Job, folder: JobFolder, alive: Callable[[], object]) -> dict[str, Any]:
        alive()
        self.on_publish(job)
        assert folder.read_result() == {"ok": True}
        self.published.append(job.id)
        return {"files": [], "rows": 1}


@contextmanager
def supervising(
    database: Database,
    folders: Path,
    work: Scripted,
    *,
    name: str = "w",
    slots: int = 1,
    lease_s: float = 5.0,
    pace: Pace = PACE,
    runner: Runner | None = None,
) -> Iterator[Supervisor]:
    """A supervisor in a thread of its own; stopped in order on leaving."""
    claims = Claims(database, name, lease_s=lease_s)
    runner = runner or LocalRunner(LocalLimits(nice=0))
    supervisor = Supervisor(claims, runner, {"dataset": work}, folders, slots=slots, pace=pace)
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        yield supervisor
    finally:
        supervisor.stop()
        thread.join()
