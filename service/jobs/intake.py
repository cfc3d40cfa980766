"""Requests for jobs, checked as far as they can be before anything runs, with every choice settled."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.fine_tuning import FineTuneConfig, FineTuneConfigError, parse_config
from runtime.latents import MAX_SEED
from runtime.package import Package
from runtime.store import DirectoryStore
from runtime.synthesis.errors import SynthesisError
from runtime.synthesis.run import make_plan
from service.errors import InvalidRequest, NotFound
from service.files.file_store import UPLOADED, FileStore, StoredFile
from service.jobs.data_set_order import options_of
from service.jobs.records import Job
from service.jobs.store import JobStore
from service.registry import Registry

_CHECKPOINT_FILE = "checkpoint.pt"
_SUFFIX = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FIELDS = {
    "--per-class": "n_per_class",
    "--count": "n",
    "--shard-size": "shard_size",
    "--image-format": "image_format",
    "--classes": "classes",
    "--precision": "precision",
    "--format": "format",
    "--seed": "seed",
}
"""What the options of `latentd synthesize` are called on the wire."""


@dataclass(frozen=True, kw_only=True)
class FineTuneRequest:
    """What a client asks for.

    Attributes:
        suffix: the new model is called ``MODEL-SUFFIX``.
        name: what the new model is called, instead.
        config: fields of `runtime.fine_tuning.FineTuneConfig`.
        metadata: the client's own.
    """

    model: str
    training_file: str
    suffix: str | None = None
    name: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class DataSetRequest:
    """What a client asks for; the fields are those of the wire contract."""

    model: str | None
    n: int | None = None
    n_per_class: int | None = None
    format: str = "webdataset"
    classes: list[str] | None = None
    seed: int = 0
    truncation: float = 1.0
    precision: str = "fp32"
    image_format: str | None = None
    shard_size: int | None = None
    include_report: bool = False


class Intake:
    """Makes jobs."""

    def __init__(self, registry: Registry, store: DirectoryStore, files: FileStore, jobs: JobStore) -> None:
        self._registry = registry
        self._store = store
        self._files = files
        self._jobs = jobs

    async def fine_tune(self, asked: FineTuneRequest, idempotency_key: str | None = None) -> Job:
        """A new fine-tuning job, or the first one that was made under `idempotency_key`.

        Raises:
            InvalidRequest: naming the field, the value and what is allowed.
            NotFound: no such model.
            Conflict: the key was used for another request.
        """
        digest = {
            "model": asked.model,
            "training_file": asked.training_file,
            "suffix": asked.suffix,
            "name": asked.name,
            "config": dict(asked.config),
            "metadata": dict(asked.metadata or {}),
        }
        manifest = (await self._registry.get(asked.model)).manifest
        config = self._config(asked.config)
        if _CHECKPOINT_FILE not in manifest.files:
            raise InvalidRequest.field("model", asked.model, f"a model whose package holds {_CHECKPOINT_FILE}")
        file = await asyncio.to_thread(self._file, asked.training_file)
        side = f"{manifest.output.width}x{manifest.output.height}"
        sizes = file.report.get("sizes", {})
        if set(sizes) != {side} and not config.fit:
            raise InvalidRequest.field(
                "training_file",
                f"{asked.training_file} with images of {', '.join(list(sizes)[:5])} pixels",
                f"{side} for {manifest.reference}; config.fit = true cuts and resizes them",
            )
        request = {
            "model": manifest.reference,
            "training_file": asked.training_file,
            "name": self._name(asked, manifest.name),
            "suffix": asked.suffix,
            "config": config.model_dump(mode="json"),
            "metadata": None if asked.metadata is None else dict(asked.metadata),
        }
        return await asyncio.to_thread(
            self._jobs.create,
            "fine_tuning",
            request,
            files=[asked.training_file],
            idempotency_key=idempotency_key,
            asked=digest,
        )

    async def data_set(self, asked: DataSetRequest, idempotency_key: str | None = None) -> Job:
        """A new data-set job, or the first one that was made under `idempotency_key`.

        Raises:
            InvalidRequest, NotFound, Conflict: as `fine_tune`.
        """
        manifest = (await self._registry.get(asked.model)).manifest
        per_class, count = _amount(asked, len(asked.classes or manifest.classes))
        options = {
            "format": asked.format,
            "per_class": per_class,
            "count": count,
            "classes": asked.classes,
            "seed": asked.seed,
            "precision": asked.precision,
            "truncation": asked.truncation,
            "image_format": asked.image_format,
            "shard_rows": asked.shard_size,
            "include_report": asked.include_report,
        }
        package = Package(self._store.root / manifest.name / str(manifest.version), manifest)
        await asyncio.to_thread(_check_plan, package, options)
        return await asyncio.to_thread(
            self._jobs.create,
            "dataset",
            {"model": manifest.reference, "options": options},
            idempotency_key=idempotency_key,
            asked={"model": asked.model, **options},
        )

    def _config(self, values: Mapping[str, Any]) -> FineTuneConfig:
        try:
            return parse_config(values)
        except FineTuneConfigError as error:
            name = f"config.{error.field}" if error.field else "config"
            raise InvalidRequest(f"{name}: {error.reason}", param=name) from error

    def _file(self, file_id: str) -> StoredFile:
        try:
            file = self._files.get(file_id)
        except NotFound as error:
            raise InvalidRequest.field("training_file", file_id, "the id of an uploaded file") from error
        if file.purpose != UPLOADED:
            raise InvalidRequest.field("training_file", f"{file_id} of purpose {file.purpose}", f"purpose {UPLOADED}")
        return file

    def _name(self, asked: FineTuneRequest, base: str) -> str:
        if asked.name is not None:
            if asked.suffix is not None:
                raise InvalidRequest.field("suffix", asked.suffix, "none beside name")
            if not _NAME.fullmatch(asked.name):
                raise InvalidRequest.field("name", asked.name, f"a name that matches {_NAME.pattern}")
            return asked.name
        if asked.suffix is not None and not _SUFFIX.fullmatch(asked.suffix):
            raise InvalidRequest.field("suffix", asked.suffix, f"a suffix that matches {_SUFFIX.pattern}")
        suffix = asked.suffix or "ft"
        return f"{base[: 63 - len(suffix)]}-{suffix}"


def _amount(asked: DataSetRequest, classes: int) -> tuple[int | None, int | None]:
    """Images of each class, or images in all of a model without classes."""
    if (asked.n is None) == (asked.n_per_class is None):
        raise InvalidRequest("n, n_per_class: got both or neither; allowed: one of them", param="n")
    for name in ("n", "n_per_class"):
        value = getattr(asked, name)
        if value is not None and not 1 <= value <= MAX_SEED:
            raise InvalidRequest.field(name, value, f"an integer from 1 to {MAX_SEED}, as many as there are seeds")
    if asked.n is None or not classes:
        return asked.n_per_class, asked.n
    if asked.n % classes:
        raise InvalidRequest.field("n", asked.n, f"a multiple of {classes}, the number of classes, or n_per_class")
    return asked.n // classes, None


def _check_plan(package: Package, options: dict[str, Any]) -> None:
    try:
        make_plan(package, options_of(options))
    except SynthesisError as error:
        text = re.sub(r"--[a-z-]+", lambda found: _FIELDS.get(found[0], found[0]), str(error))
        raise InvalidRequest(text, param=text.partition(":")[0].partition(" ")[0]) from error
    except OSError as error:
        raise NotFound(f"model: {package.manifest.reference} has just been deleted", param="model") from error
