"""The job loop with real processes: it runs jobs to their end, and survives what happens to them."""

import json
import os
import signal
import socket
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest

from service.database.database import Database
from service.errors import DiskFull
from service.jobs.claims import MAX_FAILURES, Claims
from service.jobs.folder import JobFolder
from service.jobs.ray_runner import RayRunner, RayShare
from service.jobs.records import Job
from service.jobs.store import JobStore
from service.jobs.supervisor import Pace
from service.jobs.work import CannotWork
from tests.kit.processes import is_running, wait_for
from tests.unit.service.jobs.scripted import PACE, Scripted, supervising

SLEEP = "events.append('notice', text='here'); time.sleep(60)"
SAVES = "signal.signal(signal.SIGTERM, lambda *_: os._exit(143))\n"


@pytest.fixture
def database(tmp_path: Path) -> Database:  # one is enough here: the contract is tested over both
    return Database(f"sqlite:///{tmp_path / 'jobs.db'}", busy_s=0.3)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


def submit(jobs: JobStore, code: str) -> Job:
    return jobs.create("dataset", {"code": code})


def said(jobs: JobStore, job: Job) -> list[str]:
    return [event.message for event in jobs.events_after(job.id, 0)[1]]


def ended(jobs: JobStore, job: Job) -> Job:
    wait_for(lambda: jobs.get(job.id).over, what=f"the end of {said(jobs, job)}")
    return jobs.get(job.id)


def pid_of(folders: Path, job: Job) -> int:
    path = JobFolder(folders / job.id).process
    wait_for(path.exists)
    return int(json.loads(path.read_text())["pid"])


def wait_until_it_runs(jobs: JobStore, job: Job) -> None:
    wait_for(lambda: "here" in said(jobs, job), what="its first event")


def test_a_job_runs_speaks_and_succeeds(jobs: JobStore, database: Database, folders: Path) -> None:
    work = Scripted()
    job = submit(jobs, "events.append('metrics', images=1)\nevents.append('notice', text='bye')\ndone()")
    with supervising(database, folders, work):
        found = ended(jobs, job)
    assert (found.state, found.result, found.attempt) == ("succeeded", {"files": [], "rows": 1}, 1)
    assert said(jobs, job) == [
        "created, waiting for a runner",
        "attempt 1: running",
        "metrics: images 1",
        "bye",
        "publishing the result",
        "succeeded: 0 files",
    ]
    assert work.published == [job.id]
    assert not (folders / job.id).exists()


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("events.append('failed', reason='too few images'); sys.exit(1)", "job_failed", "exit code 1: too few images"),
        ("print('traceback'); print('ValueError: x'); sys.exit(1)", "job_failed", "exit code 1: ValueError: x"),
        ("sys.exit(2)", "job_failed", "exit code 2"),
        (
            "events.append('refused', requirements=[{'expression': 'a<1', 'value': 2, 'met': False}]); sys.exit(3)",
            "quality_gate",
            "a<1 (it is 2)",
        ),
    ],
)
def test_a_job_that_fails_says_why_and_keeps_its_folder(
    jobs: JobStore, database: Database, folders: Path, *, code: str, error: str, words: str
) -> None:
    job = submit(jobs, code)
    with supervising(database, folders, Scripted()):
        found = ended(jobs, job)
    assert found.state == "failed"
    assert found.error is not None
    assert found.error["code"] == error
    assert words in found.error["message"]
    assert (folders / job.id).exists()
    assert jobs.events(job.id, limit=1).items[0].level == "error"


def test_a_job_waits_for_a_cluster_that_is_out_of_reach(jobs: JobStore, database: Database, folders: Path) -> None:
    with socket.socket() as nobody:  # bound, but not listening: refused at once
        nobody.bind(("127.0.0.1", 0))
        runner = RayRunner(f"http://127.0.0.1:{nobody.getsockname()[1]}", RayShare())
        job = submit(jobs, "done()")
        with supervising(database, folders, Scripted(), runner=runner, pace=replace(PACE, away=0.05)):
            wait_for(lambda: jobs.get(job.id).attempt > MAX_FAILURES)
    waiting = jobs.get(job.id)
    assert (waiting.state, waiting.failures) == ("queued", 0)
    assert any("cannot be reached" in line for line in said(jobs, job))
    with supervising(database, folders, Scripted()):
        assert ended(jobs, job).state == "succeeded"


def test_a_killed_process_is_started_again(jobs: JobStore, database: Database, folders: Path) -> None:
    code = "if sys.argv[2] == '1':\n    events.append('notice', text='here'); time.sleep(60)\ndone()"
    job = submit(jobs, code)
    with supervising(database, folders, Scripted()):
        wait_until_it_runs(jobs, job)
        os.kill(pid_of(folders, job), signal.SIGKILL)
        found = ended(jobs, job)
    assert (found.state, found.attempt) == ("succeeded", 2)
    assert "attempt 1 ended: its process was ended by signal 9; waiting for a runner" in said(jobs, job)


def test_a_machine_that_gave_out_is_tried_again_and_not_for_ever(
    jobs: JobStore, database: Database, folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.jobs.claims._BACKOFF_S", 0.01)
    job = submit(jobs, "print('OSError: [Errno 28] No space left on device'); sys.exit(74)")
    with supervising(database, folders, Scripted()):
        found = ended(jobs, job)
    assert (found.state, found.attempt) == ("failed", 5)
    assert found.error is not None
    assert "No space left on device; that was the case 5 times in a row" in found.error["message"]


def test_cancel_ends_the_process_and_all_that_it_started(jobs: JobStore, database: Database, folders: Path) -> None:
    child = "import subprocess; p = subprocess.Popen(['sleep', '60']); (folder / 'child').write_text(str(p.pid))\n"
    job = submit(jobs, child + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP)
    with supervising(database, folders, Scripted()):
        wait_until_it_runs(jobs, job)
        pids = [pid_of(folders, job), int((folders / job.id / "child").read_text())]
        assert jobs.cancel(job.id, "dataset").status == "cancelled"
        found = ended(jobs, job)
        wait_for(lambda: not any(map(is_running, pids)))
    assert found.state == "cancelled"
    assert not (folders / job.id).exists()


def test_pause_lets_it_save_and_resume_goes_on(jobs: JobStore, database: Database, folders: Path) -> None:
    code = SAVES + f"if sys.argv[2] == '1':\n    {SLEEP}\ndone()"
    job = submit(jobs, code)
    with supervising(database, folders, Scripted()):
        wait_until_it_runs(jobs, job)
        assert jobs.pause(job.id, "dataset").status == "running"
        wait_for(lambda: jobs.get(job.id).state == "paused")
        time.sleep(0.3)
        assert jobs.get(job.id).state == "paused"
        jobs.resume(job.id, "dataset")
        found = ended(jobs, job)
    assert (found.state, found.attempt, found.failures) == ("succeeded", 2, 0)


def test_a_process_that_does_not_save_in_time_is_killed(jobs: JobStore, database: Database, folders: Path) -> None:
    job = submit(jobs, "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + SLEEP)
    pace = Pace(look=0.02, idle=0.02, renew=0.1, recover=0.1, save=0.3)
    with supervising(database, folders, Scripted(), pace=pace):
        wait_until_it_runs(jobs, job)
        jobs.pause(job.id, "dataset")
        wait_for(lambda: jobs.get(job.id).state == "paused")
        jobs.cancel(job.id, "dataset")
    assert jobs.get(job.id).state == "cancelled"


def test_stopping_in_order_gives_jobs_back_and_another_goes_on(
    jobs: JobStore, database: Database, folders: Path
) -> None:
    job = submit(jobs, SAVES + f"if sys.argv[2] == '1':\n    {SLEEP}\ndone()")
    with supervising(database, folders, Scripted(), name="first"):
        wait_until_it_runs(jobs, job)
        pid = pid_of(folders, job)
    assert not is_running(pid)
    found = jobs.get(job.id)
    assert (found.state, found.failures) == ("queued", 0)
    with supervising(database, folders, Scripted(), name="second"):
        assert ended(jobs, job).state == "succeeded"


def test_two_runners_share_the_work_and_do_none_of_it_twice(jobs: JobStore, database: Database, folders: Path) -> None:
    made = [submit(jobs, "done()") for _ in range(6)]
    first, second = Scripted(), Scripted()
    with (
        supervising(database, folders, first, name="first"),
        supervising(database, folders, second, name="second", slots=2),
    ):
        for job in made:
            assert ended(jobs, job).state == "succeeded"
    assert sorted(first.published + second.published) == sorted(job.id for job in made)


def test_a_job_that_was_taken_from_a_runner_is_ended_by_it(jobs: JobStore, database: Database, folders: Path) -> None:
    job = submit(jobs, SLEEP)
    with supervising(database, folders, Scripted(), name="slow"):
        wait_until_it_runs(jobs, job)
        pid = pid_of(folders, job)
        Claims(database, "other").recover(lambda worker: worker == "slow")
        wait_for(lambda: not is_running(pid), what="the end of the process")
        jobs.cancel(job.id, "dataset")


def test_a_locked_database_delays_and_loses_nothing(
    jobs: JobStore, database: Database, folders: Path, tmp_path: Path
) -> None:
    code = "for n in range(20):\n    events.append('notice', text=str(n)); time.sleep(0.05)\ndone()"
    job = submit(jobs, code)
    with supervising(database, folders, Scripted()):
        wait_for(lambda: "0" in said(jobs, job))
        other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        time.sleep(1.5)  # the process ends meanwhile
        other.execute("ROLLBACK")
        other.close()
        found = ended(jobs, job)
    assert (found.state, found.attempt) == ("succeeded", 1)
    assert [text for text in said(jobs, job) if text.isdecimal()] == [str(n) for n in range(20)]


def test_a_database_that_stays_away_ends_the_process_before_another_may_have_the_job(
    jobs: JobStore, database: Database, folders: Path, tmp_path: Path
) -> None:
    job = submit(jobs, SLEEP)
    with supervising(database, folders, Scripted(), lease_s=1.0):
        wait_until_it_runs(jobs, job)
        pid = pid_of(folders, job)
        other = sqlite3.connect(tmp_path / "jobs.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        wait_for(lambda: not is_running(pid), 3.0, what="the end of the process")
        other.execute("ROLLBACK")
        other.close()
        wait_for(lambda: jobs.get(job.id).attempt == 2)
        jobs.cancel(job.id, "dataset")


def test_a_runner_that_dies_while_publishing_does_not_publish_twice_to_completion(
    jobs: JobStore, database: Database, folders: Path
) -> None:
    job = submit(jobs, "done()")
    work = Scripted()

    def die(_job: Job) -> None:
        work.on_publish = lambda _job: None
        raise SystemExit  # ends the thread as a kill would: nothing is written

    work.on_publish = die
    with supervising(database, folders, work, name="dies", lease_s=0.5):
        wait_for(lambda: jobs.get(job.id).state == "finalizing")
    with supervising(database, folders, work, name="goes on"):
        found = ended(jobs, job)
    assert (found.state, found.attempt) == ("succeeded", 2)
    assert work.published == [job.id]


@pytest.mark.parametrize(
    ("failure", "code", "words"),
    [
        (CannotWork("left no package"), "no_result", "left no package"),
        (DiskFull("the disk is full", retry_after_s=1), "cannot_publish", "the disk is full"),
        (OSError(28, "No space left on device"), "cannot_publish", "No space left"),
    ],
)
def test_a_result_that_cannot_be_published_fails_the_job(
    jobs: JobStore, database: Database, folders: Path, *, failure: Exception, code: str, words: str
) -> None:
    job = submit(jobs, "done()")

    def fail(_job: Job) -> None:
        raise failure

    with supervising(database, folders, Scripted(on_publish=fail)):
        found = ended(jobs, job)
    assert found.state == "failed"
    assert found.error is not None
    assert found.error["code"] == code
    assert words in found.error["message"]


def test_a_defect_in_one_job_leaves_the_others_alone(jobs: JobStore, database: Database, folders: Path) -> None:
    broken, good = submit(jobs, "done()"), submit(jobs, "done()")

    def trip(job: Job) -> None:
        if job.id == broken.id:
            raise ZeroDivisionError

    with supervising(database, folders, Scripted(on_prepare=trip), lease_s=60.0):
        assert ended(jobs, good).state == "succeeded"
        jobs.cancel(broken.id, "dataset")


def test_slots_bound_what_runs_at_once(jobs: JobStore, database: Database, folders: Path) -> None:
    made = [submit(jobs, SLEEP) for _ in range(3)]
    with supervising(database, folders, Scripted(), slots=2):
        wait_for(lambda: jobs.counts()["dataset", "running"] == 2)
        time.sleep(5 * PACE.look)
        assert jobs.counts()["dataset", "queued"] == 1
        for job in made:
            jobs.cancel(job.id, "dataset")
        for job in made:
            assert ended(jobs, job).state == "cancelled"
