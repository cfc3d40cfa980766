"""A data set from a package: plan, parts, description."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtime import __version__
from runtime.latents import MAX_SEED
from runtime.manifest import MANIFEST_FILE, Manifest, Precision
from runtime.package import Package
from runtime.providers import CPU, usable_providers
from runtime.sequences import FileFormat
from runtime.synthesis.card import data_card, dataset_json, describe_dataset
from runtime.synthesis.drawing import Filter
from runtime.synthesis.encoding import choose_image_format
from runtime.synthesis.errors import SynthesisError
from runtime.synthesis.plan import Format, Plan, default_part_rows
from runtime.synthesis.workers import Job, do_parts
from runtime.synthesis.workplace import Workplace
from runtime.synthesis.writers import WRITERS, Target


@dataclass(frozen=True, kw_only=True)
class SynthesisOptions:
    """What a person asks for; None takes the default.

    Attributes:
        per_class: rows of each class, for packages that have classes.
        count: rows, for packages that have none.
        classes: names or indices; None: all of them.
        shard_rows: rows of a shard, for formats that have shards.
        max_attempts: see `synthesize`.
    """

    format: Format
    per_class: int | None = None
    count: int | None = None
    classes: Sequence[str] | None = None
    seed: int = 0
    precision: Precision = "fp32"
    truncation: float = 1.0
    image_format: FileFormat | None = None
    shard_rows: int | None = None
    max_attempts: int = 100


@dataclass(frozen=True)
class Outcome:
    """What a run left.

    Attributes:
        resumed: rows that were there before.
        dropped: candidates that each filter dropped.
    """

    rows: int
    resumed: int
    dropped: dict[str, int]


def make_plan(package: Package, options: SynthesisOptions, filters: Sequence[Filter] = ()) -> Plan:
    """Check `options` against the package and settle every default.

    Raises:
        SynthesisError: naming the option, the value and what is allowed.
    """
    manifest, writer = package.manifest, WRITERS[options.format]
    if options.precision not in manifest.precisions:
        raise SynthesisError(
            f"--precision: got {options.precision}; {manifest.reference} has {', '.join(manifest.precisions)}"
        )
    if refusal := writer.refusal(manifest.output, manifest.classes):
        raise SynthesisError(f"--format {options.format} cannot hold {manifest.reference}: {refusal}")
    if options.image_format and not writer.encoded:
        raise SynthesisError(
            f"--image-format: got {options.image_format}, but {options.format} holds pixels, not files"
        )
    if options.shard_rows and not writer.sharded:
        sharded = ", ".join(name for name, other in WRITERS.items() if other.sharded)
        raise SynthesisError(
            f"--shard-size: got {options.shard_rows}, but {options.format} has no shards; {sharded} do"
        )
    if not 0 <= options.seed <= MAX_SEED:
        raise SynthesisError(f"--seed: got {options.seed}; allowed: 0 to {MAX_SEED}")
    classes = _classes(options.classes, manifest)
    plan = Plan(
        latentd=__version__,
        package=manifest.reference,
        package_sha256=hashlib.sha256((package.path / MANIFEST_FILE).read_bytes()).hexdigest(),
        precision=options.precision,
        provider=usable_providers()[0],
        format=options.format,
        image_format=choose_image_format(options.image_format, manifest.output) if writer.encoded else None,
        rows=_rows(options, classes, manifest),
        classes=classes,
        seed=options.seed,
        truncation=options.truncation,
        part_rows=options.shard_rows or default_part_rows(manifest.output),
        filters=tuple({"name": judge.name, **judge.describe()} for judge in filters),
    )
    plan.check_seeds(options.max_attempts if filters else 1)
    return plan


def synthesize(
    package: Package,
    plan: Plan,
    place: Workplace,
    *,
    filters: Sequence[Filter] = (),
    max_attempts: int = 100,
    workers: int | None = None,
    begin: Callable[[int], Callable[[int], object]] = lambda _resumed: lambda _rows: None,
) -> Outcome:
    """Write the data set of `plan` into `place`, or what is missing of it.

    Args:
        filters: those of the plan.
        max_attempts: candidates that a row may have before the filters are taken for too strict.
        workers: processes; None: `default_workers`. The result does not depend on it.
        begin: called with the rows that are there; what it returns, with the rows done since the last call.

    Raises:
        SynthesisError: the folder belongs to another plan, or a row that no candidate fills.
        PackageError: the package does not verify.
    """
    place.adopt(plan)
    manifest = package.manifest
    target = Target(place.folder, place.scratch, place.unfinished, plan, manifest.output, tuple(manifest.classes))
    parts = {part.index: part for part in plan.parts()}
    if place.complete:
        return Outcome(plan.rows, plan.rows, {})
    records = place.finished()
    resumed = sum(len(parts[index]) for index in records)
    missing = [part for index, part in parts.items() if index not in records]
    progress = begin(resumed)
    if missing:
        job = Job(package, target, tuple(filters), max_attempts)
        for record in do_parts(job, missing, workers or default_workers(plan.provider), progress):
            place.note(record)
            records[record.part] = record
    ordered = [records[index] for index in parts]
    files = [file for record in ordered for file in record.files] + WRITERS[plan.format](target).finish()
    dataset = describe_dataset(plan, manifest, ordered, files)
    place.close(data_card(dataset), dataset_json(dataset))
    return Outcome(plan.rows, resumed, {entry["name"]: entry["dropped"] for entry in dataset["filters"]})


def default_workers(provider: str) -> int:
    """One process per core, at most 4; one alone on a GPU, whose memory they would share."""
    return min(4, len(os.sched_getaffinity(0))) if provider == CPU else 1


def _rows(options: SynthesisOptions, classes: tuple[int, ...], manifest: Manifest) -> int:
    if classes:
        if options.count is not None:
            raise SynthesisError(f"--count: {manifest.reference} has classes; --per-class says how many of each")
        if options.per_class is None:
            raise SynthesisError(f"--per-class is missing: how many of each of the {len(classes)} classes")
        return options.per_class * len(classes)
    if options.per_class is not None:
        raise SynthesisError(f"--per-class: {manifest.reference} has no classes; --count says how many images")
    if options.count is None:
        raise SynthesisError("--count is missing: how many images")
    return options.count


def _classes(asked: Sequence[str] | None, manifest: Manifest) -> tuple[int, ...]:
    names = manifest.classes
    if asked is None:
        return tuple(range(len(names)))
    if not names:
        raise SynthesisError(f"--classes: {manifest.reference} has no classes")
    found = [_class_index(label, names) for label in asked]
    if len(set(found)) < len(found):
        raise SynthesisError(f"--classes: got {', '.join(asked)}, in which one class is named twice")
    return tuple(found)


def _class_index(label: str, names: list[str]) -> int:
    if label in names:
        return names.index(label)
    if label.isascii() and label.isdecimal() and int(label) < len(names):
        return int(label)
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    raise SynthesisError(f"--classes: got {label!r}; allowed: {shown}, or indices 0 to {len(names) - 1}")
