"""The loop that runs jobs: claims them, starts their processes, takes in what they say, and settles how they end.

It belongs to one thread, which must live as long as it does: processes end with the thread that started them. Whatever
goes wrong with a job, or with the database, the loop goes on. A job whose lease cannot be renewed is ended before
another runner may take it.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from runtime.fine_tuning import ExitCode
from service.errors import DiskFull, StorageUnavailable
from service.jobs.claims import Claim, Claims, LostClaim
from service.jobs.folder import EventTail, JobFolder
from service.jobs.heartbeat import Heartbeat, Pulse
from service.jobs.records import Job, Kind, NewEvent
from service.jobs.runner import CannotStart, Ended, Launch, Runner, RunnerUnavailable
from service.jobs.work import CannotWork, Work
from service.jobs.worker_names import is_gone

_LOG = logging.getLogger(__name__)

_TRIED_AGAIN = frozenset({ExitCode.DEFECT, ExitCode.MACHINE})
_SIGNALLED = 128


@dataclass(frozen=True)
class Pace:
    """Times of the loop, in seconds.

    Attributes:
        look: between two looks at processes and queue.
        idle: between two looks at the queue while nothing runs: each is a query, which a server at rest pays for.
        renew: between two renewals of a lease, which is also how soon a cancel is seen.
        recover: between two looks for jobs whose runner is gone.
        save: a process that was asked to save may take so long before it is killed.
        away: before a job is tried again whose process could not be started, since whoever runs it was out of reach.
    """

    look: float = 0.2
    idle: float = 0.5
    renew: float = 1.0
    recover: float = 2.0
    save: float = 30.0
    away: float = 10.0


@dataclass(eq=False)
class _Running:
    """A job of ours.

    Attributes:
        pulse: keeps its lease, and knows what clients wish.
        asked_at: when its process was asked to save and end; None: not yet.
        ended: how its process ended; settled, and taken from the list, when the database has heard of it.
    """

    pulse: Pulse
    folder: JobFolder
    slot: int
    tail: EventTail
    handle: str = ""
    asked_at: float | None = None
    ended: Ended | None = None
    reaped: bool = False
    last_error: str = ""

    @property
    def claim(self) -> Claim:
        """Ours on the job."""
        return self.pulse.claim

    @property
    def job(self) -> Job:
        """As it was when its lease was last renewed."""
        return self.pulse.job


class Supervisor:
    """See the module's docstring."""

    def __init__(
        self,
        claims: Claims,
        runner: Runner,
        work: Mapping[Kind, Work],
        folders: Path,
        *,
        slots: int = 1,
        pace: Pace | None = None,
    ) -> None:
        """
        Args:
            work: the kinds of job that are run here.
            folders: where the folders of jobs are.
            slots: processes at once.
        """
        self._claims = claims
        self._runner = runner
        self._work = work
        self._kinds: Sequence[Kind] = tuple(work)
        self._folders = folders
        self._slots = slots
        self._pace = pace or Pace()
        self._running: list[_Running] = []
        self._stop = threading.Event()
        self._recovered = float("-inf")
        self._heartbeat = Heartbeat(claims, self._pace.renew)

    def run(self) -> None:
        """Work until `stop`, then end in order: processes save, their jobs go back to the queue."""
        try:
            while not self._stop.is_set():
                self._round()
                self._stop.wait(self._pace.look if self._running else self._pace.idle)
            self._end()
        finally:
            self._heartbeat.close()

    def stop(self) -> None:
        """Let `run` end; from any thread."""
        self._stop.set()

    def _round(self) -> None:
        for running in list(self._running):
            self._guarded(partial(self._attend, running))
        if time.monotonic() - self._recovered >= self._pace.recover:
            self._recovered = time.monotonic()
            self._guarded(self._recover)
        while len(self._running) < self._slots and self._guarded(self._begin_next):
            pass

    def _guarded(self, step: Callable[[], bool | None]) -> bool:
        """`step`, whose failure ends nothing else; False where it failed."""
        try:
            return bool(step())
        except (StorageUnavailable, RunnerUnavailable) as error:
            _LOG.warning("jobs wait: %s", error)
        except Exception:  # noqa: BLE001 - the loop outlives what happens to one job
            _LOG.exception("a step of the job loop failed")
        return False

    def _recover(self) -> None:
        count = self._claims.recover(is_gone)
        if count:
            _LOG.info("took back %d jobs whose runners are gone", count)

    # -- beginning -----------------------------------------------------------------------------------------------

    def _begin_next(self) -> bool:
        taken = self._claims.take(self._kinds)
        if taken is None:
            return False
        claim, job = taken
        _LOG.info("%s: attempt %d", job.id, job.attempt)
        folder = JobFolder(self._folders / job.id)
        slot = min(set(range(self._slots)) - {running.slot for running in self._running})
        running = _Running(self._heartbeat.hold(claim, job), folder, slot, EventTail(folder.events, job.tail))
        try:
            if self._start(running):
                self._running.append(running)
        except LostClaim as error:
            _LOG.info("%s", error)
        except StorageUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - outside data: whatever it causes, the others go on
            _LOG.exception("%s cannot be started", job.id)
            self._claims.give_up(claim, f"it could not be started: {type(error).__name__}")
        finally:
            if running not in self._running:
                self._heartbeat.release(running.pulse)
        return True

    def _start(self, running: _Running) -> bool:
        """Start the job's process; False where the job is settled without one."""
        job, folder = running.job, running.folder
        try:
            self._runner.clear(folder.path)
        except RunnerUnavailable as error:
            self._wait_for_runner(running, f"an earlier attempt cannot be ended: {error}")
            return False
        if job.state == "finalizing":
            self._publish(running)
            return False
        try:
            command = self._work[job.kind].prepare(job, folder)
            self._heartbeat.check(running.pulse)
            launch = Launch(f"{job.id}-{job.attempt}", folder.path, command, running.slot)
            running.handle = self._runner.start(launch)
        except CannotWork as error:
            self._fail(running, "cannot_start", str(error))
        except RunnerUnavailable as error:
            self._wait_for_runner(running, str(error))
        except (CannotStart, DiskFull, OSError) as error:
            self._claims.give_up(running.claim, f"it could not be started: {error}")
        else:
            return True
        return False

    def _wait_for_runner(self, running: _Running, reason: str) -> None:
        """Not the job's fault: it waits as long as whoever runs processes is out of reach."""
        _LOG.warning("%s waits: %s", running.job.id, reason)
        if running.job.state != "finalizing":  # which its lease leads back to; there is nothing to be queued
            self._claims.give_up(running.claim, reason, own_fault=False, wait_s=self._pace.away)

    # -- while it runs -------------------------------------------------------------------------------------------

    def _attend(self, running: _Running) -> None:
        try:
            self._heartbeat.check(running.pulse)
            if running.ended is None:
                running.ended = self._runner.poll(running.handle)  # before its last events are read
            self._take_events(running)
            if running.ended is not None:
                self._settle(running)
            elif running.job.state == "cancelling":
                self._runner.stop(running.handle, gently=False)
            elif running.job.state == "pausing":
                self._ask_to_save(running)
        except LostClaim as error:
            _LOG.warning("%s", error)
            self._abandon(running)

    def _take_events(self, running: _Running) -> None:
        while (found := running.tail.read()).events:
            self._claims.append(running.claim, found.events, tail=found.sequence)
            running.tail.accept(found)
            for event in found.events:
                if event.level == "error":
                    running.last_error = event.message
            if running.ended is None:
                return  # the rest the next time; others wait, too

    def _ask_to_save(self, running: _Running) -> None:
        if running.asked_at is None:
            running.asked_at = time.monotonic()
            self._runner.stop(running.handle, gently=True)
        elif time.monotonic() - running.asked_at > self._pace.save:
            self._runner.stop(running.handle, gently=False)

    # -- the end -------------------------------------------------------------------------------------------------

    def _settle(self, running: _Running) -> None:
        """Tell the database how the process ended; tried again in the next round where that cannot be."""
        ended, claim = running.ended, running.claim
        assert ended is not None
        if not running.reaped:
            self._runner.reap(running.handle)
            running.reaped = True
        state = self._claims.renew(claim).state
        if state == "cancelling":
            self._claims.step(claim, "cancelled", [NewEvent("cancelled")])
            running.folder.remove()
        elif state == "finalizing":  # the database, or the disk, was away while it was being published
            self._publish(running)
        elif ended.signal is None and ended.code == ExitCode.PUBLISHED:
            job = self._claims.step(claim, "finalizing", [NewEvent("publishing the result")])
            if job.state == "finalizing":
                self._publish(running)
        elif state == "pausing":
            self._claims.step(claim, "paused", [NewEvent("paused")])
        elif ended.signal is None and ended.code == ExitCode.NOT_OURS:
            self._claims.give_up(claim, "another process was at work in its folder")
        elif ended.signal is not None or ended.code >= _SIGNALLED or ended.code in _TRIED_AGAIN:
            self._claims.give_up(claim, self._reason(running, str(ended)), own_fault=not self._stop.is_set())
        elif ended.code == ExitCode.REFUSED:
            self._fail(running, "quality_gate", self._reason(running, "a quality requirement is missed"))
        else:
            self._fail(running, "job_failed", self._reason(running, str(ended)))
        self._forget(running)

    def _forget(self, running: _Running) -> None:
        self._heartbeat.release(running.pulse)
        if running in self._running:
            self._running.remove(running)

    def _publish(self, running: _Running) -> None:
        claim, job = running.claim, running.job
        try:
            alive = partial(self._heartbeat.check, running.pulse)
            result = self._work[job.kind].publish(job, running.folder, alive)
        except CannotWork as error:
            self._fail(running, "no_result", str(error))
            return
        except (DiskFull, OSError) as error:
            self._fail(running, "cannot_publish", f"its result cannot be stored: {error}")
            return
        except (LostClaim, StorageUnavailable):
            raise
        except Exception as error:  # noqa: BLE001 - as above
            _LOG.exception("%s: its result cannot be published", job.id)
            self._fail(running, "internal", f"its result cannot be published: {type(error).__name__}")
            return
        made = result.get("fine_tuned_model") or f"{len(result.get('files', ()))} files"
        self._claims.step(claim, "succeeded", [NewEvent(f"succeeded: {made}")], result=result)
        _LOG.info("%s: %s", job.id, made)
        running.folder.remove()

    def _fail(self, running: _Running, code: str, message: str) -> None:
        error = {"code": code, "message": message}
        self._claims.step(running.claim, "failed", [NewEvent(message, "error")], error=error)
        _LOG.warning("%s failed: %s", running.job.id, message)

    def _reason(self, running: _Running, otherwise: str) -> str:
        """What the process itself said last, or the last line that it wrote."""
        if running.last_error:
            return f"{otherwise}: {running.last_error}"
        lines = running.folder.end_of_log().splitlines()
        return f"{otherwise}: {lines[-1]}" if lines else otherwise

    def _abandon(self, running: _Running) -> None:
        """End the process of a job that is not ours any more, and say nothing of it."""
        if not running.reaped:
            self._runner.stop(running.handle, gently=False)
            self._runner.reap(running.handle)
        self._forget(running)
        try:
            if self._claims.is_over(running.claim.job_id):
                running.folder.remove()
        except StorageUnavailable:
            return

    def _end(self) -> None:
        """Let processes save, and give their jobs back."""
        for running in self._running:
            self._runner.stop(running.handle, gently=True)
        deadline = time.monotonic() + self._pace.save
        while self._running and time.monotonic() < deadline:
            for running in list(self._running):
                self._guarded(partial(self._attend, running))
            time.sleep(min(0.05, self._pace.look))
        for running in list(self._running):
            self._guarded(partial(self._abandon, running))
