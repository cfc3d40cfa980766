"""A new version of a package with other graphs. What is published never changes: the new one names it as its parent."""

import shutil
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.encoder import Encoder
from runtime.generator import Generator, read_recorded
from runtime.images import encode_npz
from runtime.latents import latents_from_seeds
from runtime.manifest import Manifest, Measurement, Precision, PrecisionFile, Provenance, SelfTest
from runtime.package import Package, describe_file
from runtime.store import DirectoryStore
from trainer.errors import ConfigError, ExportError
from trainer.evaluation.gates import judge_gates
from trainer.export import EncoderSession, GraphSession, graph_file
from trainer.parity import TOLERANCE
from trainer.probes import Probe


def reference_graph(package: Package) -> Path:
    """The fp32 graph that others are made from.

    Raises:
        ConfigError: the package has none.
    """
    entry = package.manifest.precisions.get("fp32")
    if entry is None:
        held = ", ".join(package.manifest.precisions)
        raise ConfigError(f"PACKAGE: {package.manifest.reference} has {held} alone; compression starts from fp32")
    return package.path / entry.file


def copy_files(package: Package, folder: Path, leave_out: Iterable[str]) -> None:
    """Every file of `package` into `folder`, but for some."""
    for name in package.manifest.stored_files().keys() - set(leave_out):
        shutil.copyfile(package.path / name, folder / name)


def record_outputs(
    package: Package, folder: Path, drawn: Mapping[Precision, GraphSession], keep: set[Precision]
) -> None:
    """Write the self-test's file of a new version.

    Args:
        drawn: graphs that are new.
        keep: precisions whose graph and outputs are the parent's.
    """
    manifest = package.manifest
    test = manifest.self_test.file
    names = ["seeds", *(["labels"] if manifest.classes else []), *(f"images_{precision}" for precision in keep)]
    encodes = manifest.encoder is not None
    recorded: dict[str, NDArray[Any]] = read_recorded(package, [*names, *(["encoder_latents"] if encodes else [])])
    probe = recorded_probe(package)
    for precision, session in drawn.items():
        recorded[f"images_{precision}"] = session(probe.latents, probe.labels)
    if manifest.encoder is not None and "fp32" in drawn:
        encode = EncoderSession(package.path / manifest.encoder.file)
        recorded["encoder_latents"] = encode(recorded["images_fp32"])
    (folder / test).write_bytes(encode_npz(recorded))


def recorded_probe(package: Package) -> Probe:
    """The inputs of the package's self-test."""
    classes = bool(package.manifest.classes)
    recorded = read_recorded(package, ["seeds", *(["labels"] if classes else [])])
    seeds = recorded["seeds"]
    labels = recorded["labels"] if classes else np.zeros(len(seeds), np.int64)
    return Probe(seeds, latents_from_seeds(seeds, package.manifest.latent.dim), labels, classes)


def check_bars(precision: Precision, entry: PrecisionFile, *, force: bool) -> None:
    """Refuse what misses a bar, unless it is forced.

    Raises:
        ExportError: naming every bar that is missed.
    """
    missed = entry.missed()
    if missed and not force:
        said = ", ".join(f"{each.expression} ({each.value:.4g})" for each in missed)
        raise ExportError(
            f"{precision} misses {said}: nothing is published. --force publishes it, marked; "
            "--min-psnr, --max-frechet-increase and --max-accuracy-loss move the bars"
        )


def publish_version(
    parent: Package,
    folder: Path,
    store: DirectoryStore,
    name: str,
    change: Callable[[Manifest], Manifest],
) -> Package:
    """Make the staged `folder` the next version of `name`, once every graph in it has been loaded as the server does.

    Args:
        change: gets the parent's manifest, of the right name, version and date, and returns it with the new
            precisions, files, provenance and evaluation.

    Raises:
        PackageError: a graph does not pass its self-test.
    """
    created = datetime.now(UTC)

    def describe(version: int) -> Manifest:
        provenance = parent.manifest.provenance.model_copy(update={"parent": parent.manifest.reference})
        update = {"name": name, "version": version, "created": created, "provenance": provenance}
        changed = change(parent.manifest.model_copy(update=update))
        return Manifest.model_validate(changed.model_dump())  # copies are not checked

    staged = Package(folder, describe(1))
    for precision in staged.manifest.precisions:
        Generator(staged, precision)
    if staged.manifest.encoder is not None:
        Encoder(staged)
    return store.publish(name, folder, describe)


def with_graphs(
    manifest: Manifest, folder: Path, precisions: Mapping[Precision, PrecisionFile], files: Iterable[str]
) -> Manifest:
    """`manifest` with these precisions and no others, and `files` beside them.

    Measures of precisions that are new or gone are left out, since they were of other graphs; requirements are judged
    anew by what remains.
    """
    kept = {name for name, entry in precisions.items() if manifest.precisions.get(name) == entry}
    evaluation: dict[str, Measurement] = {
        name: found for name, found in manifest.evaluation.items() if _precision_of(name) in kept
    }
    expressions = [each.expression for each in manifest.requirements]
    update = {
        "precisions": dict(precisions),
        "files": {file: describe_file(folder / file) for file in files},
        "self_test": SelfTest(
            file=manifest.self_test.file, tolerance={precision: TOLERANCE[precision] for precision in precisions}
        ),
        "evaluation": evaluation,
        "requirements": judge_gates(expressions, evaluation),
    }
    return manifest.model_copy(update=update)


def with_config(provenance: Provenance, seconds: float, **sections: Any) -> Provenance:
    """`provenance` of a generator that was trained on for some `seconds`, with other sections of its recipe."""
    update = {
        "config": provenance.config | sections,
        "training_seconds": round(provenance.training_seconds + seconds, 3),
    }
    return provenance.model_copy(update=update)


def stored_graph(folder: Path, precision: Precision) -> dict[str, Any]:
    """Name, size and hash of a staged graph, as a `PrecisionFile` wants them."""
    file = graph_file(precision)
    return {"file": file, **describe_file(folder / file).model_dump()}


def _precision_of(measure: str) -> str:
    """Measures of fp32 have bare names."""
    precision, dot, _ = measure.partition(".")
    return precision if dot else "fp32"
