"""What is deleted, and what is not."""

import os
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from runtime.store import DirectoryStore
from service.database.database import Database
from service.database.tables import EVENTS, FILES, IDEMPOTENCY, JOBS
from service.errors import NotFound
from service.files.blobs import DirectoryBlobs
from service.files.file_store import FileRules, FileStore
from service.files.limits import FileLimits
from service.jobs.claims import Claims
from service.jobs.retention import Retention, Rules
from service.jobs.store import JobStore
from tests.kit.tiny_package import publish_tiny

DAY = 86_400.0


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "files")


@pytest.fixture
def files(database: Database, blobs: DirectoryBlobs) -> FileStore:
    return FileStore(database, blobs, blobs.incoming, FileRules(FileLimits(), lifetime_s=DAY, reserve_bytes=0))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    return tmp_path / "jobs"


@pytest.fixture
def sweeper(database: Database, files: FileStore, store: DirectoryStore, folders: Path) -> Retention:
    return Retention(database, files, store, folders, Rules(10 * DAY, 3 * DAY))


def end(jobs: JobStore, claims: Claims, folders: Path, state: str) -> str:
    """A job that has come to `state`, with a folder."""
    job = jobs.create("dataset", {"options": {}}, idempotency_key=None)
    (folders / job.id).mkdir(parents=True)
    if state != "queued":
        taken = claims.take(["dataset"])
        assert taken is not None
        if state == "succeeded":
            claims.step(taken[0], "finalizing")
        claims.step(taken[0], state)  # type: ignore[arg-type]
    return job.id


def age(database: Database, job_id: str, days: float) -> None:
    with database.writing() as connection:
        row = connection.execute(select(JOBS.c.finished_at).where(JOBS.c.id == job_id)).scalar_one()
        connection.execute(update(JOBS).where(JOBS.c.id == job_id).values(finished_at=row - days * DAY))


def test_folders_go_when_nobody_needs_them(
    jobs: JobStore, claims: Claims, database: Database, sweeper: Retention, folders: Path
) -> None:
    succeeded, failed, queued = (end(jobs, claims, folders, state) for state in ("succeeded", "failed", "queued"))
    stranger, young = folders / "stranger", folders / "young"
    stranger.mkdir()
    young.mkdir()
    for old in (stranger, folders / queued):
        os.utime(old, (1.0, 1.0))
    sweeper.sweep()
    assert {path.name for path in folders.iterdir()} == {failed, queued, "young"}
    taken_over = folders / succeeded  # this machine's share of a job that another has ended
    taken_over.mkdir()
    os.utime(taken_over, (1.0, 1.0))
    sweeper.sweep()
    assert not taken_over.exists()
    age(database, failed, 4)
    sweeper.sweep()
    assert {path.name for path in folders.iterdir()} == {queued, "young"}
    assert jobs.get(succeeded).state == "succeeded"
    assert jobs.get(failed).state == "failed"


def test_jobs_are_forgotten_with_all_that_is_theirs(
    jobs: JobStore, claims: Claims, sweeper: Retention, files: FileStore, folders: Path
) -> None:
    database = jobs.database
    old, recent = end(jobs, claims, folders, "succeeded"), end(jobs, claims, folders, "succeeded")
    part = folders / "part"
    part.write_bytes(b"rows")
    made, other = files.keep(part, "part", {}, old), files.keep(part, "part", {}, recent)
    sweeper.sweep()
    age(database, old, 11)
    sweeper.sweep()
    with pytest.raises(NotFound):
        jobs.get(old)
    with pytest.raises(NotFound):
        files.get(made.id)
    assert b"".join(files.content(other)) == b"rows", "the same content is still another file's"
    assert jobs.get(recent).state == "succeeded"
    with database.reading() as connection:
        numbers = connection.execute(select(func.count(EVENTS.c.job_number.distinct()))).scalar_one()
    assert numbers == 1


def test_old_keys_are_free_again(jobs: JobStore, database: Database, sweeper: Retention) -> None:
    first = jobs.create("dataset", {}, idempotency_key="key").id
    sweeper.sweep()
    assert jobs.create("dataset", {}, idempotency_key="key").id == first
    with database.writing() as connection:
        connection.execute(update(IDEMPOTENCY).values(created_at=1.0))
    sweeper.sweep()
    assert jobs.create("dataset", {}, idempotency_key="key").id != first


def test_superseded_versions_of_what_jobs_made(
    claims: Claims, files: FileStore, store: DirectoryStore, sweeper: Retention, folders: Path
) -> None:
    jobs = JobStore(files.database)
    for _ in range(5):
        publish_tiny(store, "made", precisions=("fp32",))
    publish_tiny(store, "trained", precisions=("fp32",))
    publish_tiny(store, "trained", precisions=("fp32",))
    for version in (1, 2, 4, 5):
        jobs.create("fine_tuning", {"model": "trained@1"})
        taken = claims.take(["fine_tuning"])
        assert taken is not None
        claims.step(taken[0], "finalizing")
        claims.step(taken[0], "succeeded", result={"fine_tuned_model": f"made@{version}"})
    jobs.create("fine_tuning", {"model": "made@2"})
    sweeper.sweep()
    assert store.versions() == {"made": [1, 2, 3, 4, 5], "trained": [1, 2]}
    Retention(files.database, files, store, folders, Rules(10 * DAY, 3 * DAY, keep_versions=1)).sweep()
    # 2 is what a waiting job begins with, 3 and the other model were not made by jobs.
    assert store.versions() == {"made": [2, 3, 5], "trained": [1, 2]}


def test_expired_files_go(database: Database, files: FileStore, sweeper: Retention, tmp_path: Path) -> None:
    part = tmp_path / "part"
    part.write_bytes(b"rows")
    file = files.keep(part, "part", {}, "dataset-1")
    with database.writing() as connection:
        connection.execute(update(FILES).values(expires_at=1.0))
    sweeper.sweep()
    with pytest.raises(FileNotFoundError):
        b"".join(files.content(file))
