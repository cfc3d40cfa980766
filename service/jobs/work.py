"""What a job of each kind does before and after its process: lay out its folder, and publish what it made, once."""

import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from runtime.errors import PackageError
from runtime.fine_tuning import FineTuneConfig, FineTuneOrder
from runtime.fine_tuning import write_order as write_fine_tune_order
from runtime.manifest import Manifest, read_manifest
from runtime.package import Package
from runtime.references import find_package
from runtime.store import DirectoryStore
from service.errors import NotFound
from service.files.archives import Refused
from service.files.file_store import FileStore
from service.files.findings import Findings
from service.files.unpacking import unpack
from service.jobs.data_set_order import DataSetOrder
from service.jobs.data_set_order import write_order as write_data_set_order
from service.jobs.folder import JobFolder
from service.jobs.records import Job, Kind

_TRAINING = "trainer.finetune"
_LAST_VERSION = ".last-version"


class CannotWork(Exception):
    """The job cannot be done, now or later; the text says why."""


class Work(Protocol):
    """One kind of job. Methods block."""

    def prepare(self, job: Job, folder: JobFolder) -> list[str]:
        """Lay out the folder, or what is missing of it; returns the command of the job's process.

        Raises:
            CannotWork: what it needs is gone.
            OSError: it cannot be written.
        """
        ...

    def publish(self, job: Job, folder: JobFolder, alive: Callable[[], object]) -> dict[str, Any]:
        """Hand out what the process made, and return the job's result. What was handed out before is not again.

        Args:
            alive: called between the steps; raises where the job has been lost.

        Raises:
            CannotWork: there is nothing, or it is damaged.
            OSError: it cannot be written.
        """
        ...


@dataclass(frozen=True)
class FineTuning:
    """`latentd finetune`. Its process publishes in a store of its own; from there the package is taken to the server's
    store when nobody can cancel the job any more."""

    store: DirectoryStore
    files: FileStore

    def prepare(self, job: Job, folder: JobFolder) -> list[str]:
        """See `Work.prepare`."""
        request = job.request
        try:
            package = find_package(request["model"], self.store)
        except PackageError as error:
            raise CannotWork(str(error)) from error
        data = self._data(request["training_file"], folder)
        own = folder.packages / request["name"]
        if not own.exists():  # its own first version gets the number that it is to have, for the report inside it
            own.mkdir(parents=True)
            last = max(self.store.versions().get(request["name"], ()), default=0)
            (own / _LAST_VERSION).write_text(str(last))
        order = FineTuneOrder(
            job=job.id,
            attempt=job.attempt,
            package=str(package.path.resolve()),
            data=str(data.resolve()),
            store=str(folder.packages.resolve()),
            name=request["name"],
            config=FineTuneConfig.model_validate(request["config"]),
        )
        write_fine_tune_order(folder.path, order)
        return [sys.executable, "-m", _TRAINING, "--job", str(folder.path.resolve())]

    def publish(self, job: Job, folder: JobFolder, alive: Callable[[], object]) -> dict[str, Any]:
        """See `Work.publish`."""
        said = folder.read_result() or {}
        name = job.request["name"]
        own = DirectoryStore(folder.packages)
        versions = own.versions().get(name)
        if not versions:
            raise CannotWork("its process ended well, but left no package")
        try:
            package = own.open(name, versions[-1])
            alive()
            published = _published(self.store, package) or _publish(self.store, package)
        except PackageError as error:
            raise CannotWork(str(error)) from error
        measures: dict[str, Any] = {
            key: said[key] for key in ("measures", "requirements", "images", "stopped_by") if key in said
        }
        return {"fine_tuned_model": published.reference, **measures}

    def _data(self, file_id: str, folder: JobFolder) -> Path:
        done = folder.path / ".data"
        if done.exists():
            return Path(done.read_text())
        try:
            file = self.files.get(file_id)
            folder.path.mkdir(parents=True, exist_ok=True)
            content = self.files.blobs.local(file.sha256, folder.path)
            kind = Findings.model_validate(file.report).kind
            path = unpack(content, kind, folder.data, self.files.rules.limits)
        except (NotFound, FileNotFoundError) as error:
            raise CannotWork(f"its file {file_id} is gone") from error
        except Refused as error:
            raise CannotWork(f"its file {file_id} cannot be unpacked: {error}") from error
        done.write_text(str(path.resolve()))
        return path


@dataclass(frozen=True)
class DataSets:
    """What `latentd synthesize` does."""

    store: DirectoryStore
    files: FileStore

    def prepare(self, job: Job, folder: JobFolder) -> list[str]:
        """See `Work.prepare`."""
        try:
            package = find_package(job.request["model"], self.store)
        except PackageError as error:
            raise CannotWork(str(error)) from error
        folder.path.mkdir(parents=True, exist_ok=True)
        order = DataSetOrder(
            job=job.id,
            attempt=job.attempt,
            package=str(package.path.resolve()),
            folder=str(folder.data_set.resolve()),
            **job.request["options"],
        )
        write_data_set_order(folder.path, order)
        return [sys.executable, "-m", "service.jobs.data_set_process", str(folder.path.resolve())]

    def publish(self, job: Job, folder: JobFolder, alive: Callable[[], object]) -> dict[str, Any]:
        """See `Work.publish`."""
        said = folder.read_result()
        if said is None:
            raise CannotWork("its process ended well, but left no result")
        files = []
        for part in said["parts"]:
            alive()
            path = Path(part)
            if not path.is_file():
                raise CannotWork(f"its process ended well, but {path.name} is missing")
            stored = self.files.keep(path, path.name, {"model": job.request["model"]}, job.id)
            files.append(stored.id)
        return {"rows": said["rows"], "files": files}


def kinds_here() -> tuple[Kind, ...]:
    """The kinds of job that this installation can run: fine-tuning needs torch, which a serving image lacks."""
    trains = all(find_spec(module) is not None for module in ("torch", "trainer", _TRAINING))
    return ("dataset", "fine_tuning") if trains else ("dataset",)


def _published(store: DirectoryStore, package: Package) -> Manifest | None:
    """`package` where a runner published it that did not live to say so."""
    own = package.manifest
    for version in reversed(store.versions().get(own.name, [])):
        try:
            manifest = read_manifest(store.root / own.name / str(version))
        except PackageError:
            continue
        if manifest == own.model_copy(update={"version": version}):
            return manifest
    return None


def _publish(store: DirectoryStore, package: Package) -> Manifest:
    manifest = package.manifest
    with store.stage() as staged:
        shutil.copytree(package.path, staged, dirs_exist_ok=True)
        published = store.publish(
            manifest.name, staged, lambda version: manifest.model_copy(update={"version": version})
        )
    return published.manifest
