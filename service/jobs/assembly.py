"""The parts of files and jobs, put together as the settings say: in a server, or in a worker."""

from dataclasses import dataclass
from pathlib import Path

from runtime.providers import cuda_device_count
from runtime.store import DirectoryStore
from service.database.database import Database, default_url
from service.files.blobs import BlobStore, DirectoryBlobs
from service.files.file_store import FileRules, FileStore
from service.files.limits import FileLimits
from service.jobs.claims import Claims
from service.jobs.local_runner import LocalLimits, LocalRunner
from service.jobs.records import Kind
from service.jobs.retention import Retention, Rules
from service.jobs.runner import Runner
from service.jobs.store import JobStore
from service.jobs.supervisor import Supervisor
from service.jobs.work import DataSets, FineTuning, Work, kinds_here
from service.jobs.worker_names import worker_name
from service.settings import Settings, SettingsError

_DAY_S = 86_400.0
_NICE = 19  # a process that serves is given the core before one that trains


@dataclass(frozen=True)
class JobParts:
    """Everything that knows of files and jobs."""

    database: Database
    files: FileStore
    jobs: JobStore
    retention: Retention

    def close(self) -> None:
        """Close the database."""
        self.database.close()


def assemble(settings: Settings) -> JobParts:
    """Open the database and the file store.

    Raises:
        SettingsError: one of them cannot be opened; what to change is said.
    """
    database = Database(settings.database or default_url(settings.state))
    incoming = settings.state / "incoming"
    blobs: BlobStore
    try:
        if settings.file_store is not None and "://" in settings.file_store:
            from service.files.object_blobs import ObjectBlobs

            blobs = ObjectBlobs(settings.file_store)
            incoming.mkdir(parents=True, exist_ok=True)
        else:
            directory = DirectoryBlobs(Path(settings.file_store or settings.state / "files"))
            blobs, incoming = directory, directory.incoming
    except OSError as error:
        raise SettingsError(f"setting file_store: {error.filename} cannot be made: {error.strerror}") from error
    rules = FileRules(
        limits=FileLimits(bytes=settings.max_file_bytes, images=settings.max_file_images),
        lifetime_s=settings.file_days * _DAY_S,
        reserve_bytes=settings.reserve_bytes,
    )
    files = FileStore(database, blobs, incoming, rules)
    store = DirectoryStore(settings.store)
    kept = Rules(
        jobs_s=settings.job_days * _DAY_S,
        failed_s=settings.failed_job_days * _DAY_S,
        keep_versions=settings.keep_versions,
    )
    retention = Retention(database, files, store, folders_of(settings), kept)
    return JobParts(database, files, JobStore(database), retention)


def supervise(settings: Settings, parts: JobParts) -> Supervisor:
    """A supervisor that runs what this installation can run, on this machine."""
    store = DirectoryStore(settings.store)
    every: dict[Kind, Work] = {
        "dataset": DataSets(store, parts.files),
        "fine_tuning": FineTuning(store, parts.files),
    }
    return Supervisor(
        Claims(parts.database, worker_name(), lease_s=settings.job_lease_seconds),
        runner_of(settings),
        {kind: every[kind] for kind in kinds_of(settings)},
        folders_of(settings),
        slots=settings.job_slots,
    )


def kinds_of(settings: Settings) -> tuple[Kind, ...]:
    """The kinds of job that can be run: a Ray cluster has the trainer, whatever is installed here."""
    return kinds_here() if settings.job_runner == "local" else ("dataset", "fine_tuning")


def runner_of(settings: Settings) -> Runner:
    """The runner that the settings ask for."""
    if settings.job_runner == "local":
        limits = LocalLimits(
            memory_bytes=settings.job_memory_bytes, cores=settings.job_cores, nice=_NICE, gpus=cuda_device_count()
        )
        return LocalRunner(limits)
    from service.jobs.ray_runner import RayRunner, RayShare

    assert settings.ray_address is not None
    share = RayShare(cores=settings.job_cores or 1, gpus=settings.job_gpus, memory_bytes=settings.job_memory_bytes)
    return RayRunner(settings.ray_address, share, token=settings.ray_token)


def folders_of(settings: Settings) -> Path:
    """Where the folders of jobs are."""
    return settings.state / "jobs"
