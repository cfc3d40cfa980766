"""`latentd evaluate`: a published package against images, and the evidence put beside it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from runtime.amendment import amend
from runtime.generator import Generator
from runtime.manifest import Manifest, Precision
from runtime.package import Package, open_package
from runtime.store import DirectoryStore
from trainer.config import parse
from trainer.data import DataConfig, DataSplit, open_data
from trainer.errors import DataError
from trainer.evaluation import Evaluation, EvaluationConfig, Evaluator, draw_samples
from trainer.evaluation.feature_choice import default_choice, open_eyes
from trainer.evaluation.gates import judge_gates
from trainer.progress import watched
from trainer.report.evidence import Evidence, History
from trainer.report.pictures import draw_pictures

Say = Callable[[str], None]

_BATCH = 250


@dataclass(frozen=True)
class EvaluationRequest:
    """The command line of `latentd evaluate`.

    Attributes:
        package: a package folder, ``name@version``, or a name, whose latest version is taken.
        data: images; None for those built in, if the package was trained on them.
        features: see `EvaluationConfig.features`; None: the judge where there are classes to learn, else pixels.
        require: gates; empty: those that the manifest holds, judged anew.
        cache: where judges and decoded images are kept.
    """

    package: str
    store: Path
    data: Path | None
    features: str | None
    samples: int
    first_seed: int
    precision: Precision
    require: tuple[str, ...]
    cache: Path


def find_package(reference: str, store: Path) -> Package:
    """The package folder `reference`, or that package of `store`; all files checked.

    Raises:
        PackageError: not there, or damaged.
        DataError: the store holds no such name, and which ones it holds.
    """
    if (Path(reference) / "manifest.json").is_file():
        return open_package(Path(reference))
    name, at, version = reference.partition("@")
    held = DirectoryStore(store).versions()
    if name not in held:
        names = ", ".join(held) or "nothing"
        raise DataError(f"PACKAGE {reference!r}: no package folder, and the store {store} holds {names}")
    if at and not version.isdecimal():
        raise DataError(f"PACKAGE {reference!r}: the version must be a number, e.g. {name}@{held[name][-1]}")
    return DirectoryStore(store).open(name, int(version) if at else held[name][-1])


def evaluate_package(request: EvaluationRequest, say: Say) -> tuple[Package, Evaluation]:
    """Measure, and write report, evaluation and manifest; the amended package.

    Raises:
        TrainerError: in one sentence, what the user can mend.
        PackageError: the package cannot be read or run.
        OSError: its folder may not be written.
    """
    package = find_package(request.package, request.store)
    data = open_images(package.manifest, request.data, request.cache)
    choice = request.features or default_choice(data)
    config = parse(
        EvaluationConfig,
        {
            "samples": request.samples,
            "first_seed": request.first_seed,
            "features": choice,
            "require": request.require or [each.expression for each in package.manifest.requirements],
        },
        "evaluate",
    )
    _describe(request, package.manifest, data, say)
    names = _measured_names(package.manifest, data)
    sampler = _Sampler(Generator(package, request.precision), names)
    eyes = open_eyes(choice, data, request.cache, config.real_images)
    evaluator = Evaluator(config, data, eyes)
    found = evaluator.measure(draw_samples(config, names, package.manifest.latent.dim, sampler))
    pictures = draw_pictures(sampler, package.manifest.latent.dim, names, found, evaluator.data.train)
    evidence = Evidence(request.precision, config, data, eyes, found, pictures, _history(package))
    return _write(package, evidence, config), found


def open_images(manifest: Manifest, images: Path | None, cache: Path) -> DataSplit:
    """The images, prepared and split as for the training of the package.

    Args:
        images: as for `latentd train`; None: the built-in ones.
        cache: where decoded images are kept.

    Raises:
        DataError: missing, unreadable, or of another size or other classes than the package makes.
    """
    settings = manifest.provenance.config.get("data", {})
    if images is None and settings.get("path") is not None:
        raise DataError(f"--data is missing: {manifest.reference} was trained on {manifest.provenance.data.source}")
    path = None if images is None else str(images.resolve())
    try:
        config = DataConfig.model_validate({**settings, "path": path})
    except ValidationError:  # of an earlier latentd
        config = DataConfig(path=path)
    data = open_data(config, cache / "images")
    shape, expected = data.train.images.shape[1:], manifest.output.shape
    if shape != expected:
        raise DataError(
            f"{data.source}: images of {'×'.join(map(str, shape))}, {manifest.reference} makes "
            f"{'×'.join(map(str, expected))}"
        )
    ours, theirs = tuple(manifest.classes), data.train.class_names
    if ours and not set(theirs) <= set(ours):
        raise DataError(f"{data.source}: classes {_some(theirs)}; {manifest.reference} makes {_some(ours)}")
    return data


def _measured_names(manifest: Manifest, data: DataSplit) -> tuple[str, ...]:
    """The package's classes that there are images of, in the images' order; all of them for unlabelled images."""
    return (data.train.class_names or tuple(manifest.classes)) if manifest.classes else ()


def _some(names: tuple[str, ...]) -> str:
    return f"{len(names)} ({', '.join(names[:3])}{', …' * (len(names) > 3)})"


def _describe(request: EvaluationRequest, manifest: Manifest, data: DataSplit, say: Say) -> None:
    say(
        f"{manifest.reference} {request.precision}: {request.samples:,} samples against {len(data.train):,} training "
        f"and {len(data.held_out):,} held-out images of {data.source}"
    )
    if data.fingerprint() != manifest.provenance.data.fingerprint:
        say(
            "note: these are not the images it was trained on (the fingerprints differ): what is said of memorisation "
            "and of held-out images holds for these alone"
        )


def _history(package: Package) -> History:
    """What the package keeps of its training."""
    if "metrics.json" not in package.manifest.files:
        return []
    history: History = json.loads(package.read_verified("metrics.json")).get("history", [])
    return history


def _write(package: Package, evidence: Evidence, config: EvaluationConfig) -> Package:
    prefix = "" if evidence.precision == "fp32" else f"{evidence.precision}."
    measures = {prefix + name: found for name, found in evidence.evaluation.measures.items()}

    def change(manifest: Manifest) -> Manifest:
        known = manifest.evaluation | measures
        return manifest.model_copy(update={"evaluation": known, "requirements": judge_gates(config.require, known)})

    return amend(package, evidence.files(change(package.manifest)), change)


class _Sampler:
    """A package's generator, a batch at a time, for labels that count through `names`."""

    def __init__(self, generator: Generator, names: tuple[str, ...]) -> None:
        self._generator = generator
        classes = generator.manifest.classes
        self._places = np.array([classes.index(name) for name in names] or [0], np.int64)

    def __call__(self, latents: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        """See `trainer.evaluation.Sampler`."""
        starts = watched(range(0, len(latents), _BATCH), "samples")
        return np.concatenate(
            [
                self._generator.run(latents[start : start + _BATCH], self._places[labels[start : start + _BATCH]])
                for start in starts
            ]
        )
