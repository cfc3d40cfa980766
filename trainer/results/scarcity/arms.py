"""One arm of the study of scarcity: its images, its classifier, its score."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from runtime.generator import Generator
from runtime.latents import row_seeds
from runtime.package import open_package
from trainer.data import DataSplit, LabelledImages
from trainer.results.scarcity.classifier import (
    Added,
    Classifier,
    read_classifier,
    train_classifier,
    write_classifier,
)
from trainer.results.scarcity.images import FewImages, draw_few, other_digits
from trainer.results.scarcity.plan import CLASSIC, OTHER_DIGITS, Arm, Cell, Extra

_SAMPLE_SEEDS = 5_000_000
_CHUNK = 500


@dataclass(frozen=True)
class Score:
    """What an arm came to.

    Attributes:
        accuracy: on the real held-out images, 0 … 1.
        newness: median distance of synthetic images to the nearest of the few real ones, over that of other real
            images; 0 is a copy, 1 as new as a real one. None where nothing is synthetic.
        seconds: CPU time of the whole arm.
    """

    accuracy: float
    newness: float | None
    seconds: float


@dataclass(frozen=True)
class Bench:
    """Runs arms on one set of images; `steps` of each classifier."""

    data: DataSplit
    steps: int

    def run(self, cell: Cell, arm: Arm, package: Path | None, teacher: Path) -> Score:
        """Train the classifier of `arm` and count what it recognises.

        Args:
            package: of the generator, where the arm has one.
            teacher: file of the classic classifier's weights: the arm `CLASSIC` writes it, others may read it.
        """
        torch.set_num_threads(1)
        begun = time.process_time()
        few = draw_few(self.data, cell.per_class, cell.seed)
        added, newness = None, None
        if arm.extra:
            knowing = read_classifier(teacher, few.real.spec) if arm.extra.confident < 1 else None
            images = self._images(arm.extra, few, package, knowing)
            newness = None if package is None else _newness(images, few)
            share = arm.extra.worth / (arm.extra.worth + cell.per_class)
            added = Added(images, share)
        classifier = train_classifier(few.real, added, classic=arm.classic, steps=self.steps, seed=cell.seed)
        if arm.name == CLASSIC:
            write_classifier(teacher, classifier)
        accuracy = classifier.accuracy(self.data.held_out)
        return Score(accuracy, newness, time.process_time() - begun)

    def _images(self, extra: Extra, few: FewImages, package: Path | None, teacher: Classifier | None) -> LabelledImages:
        if extra.origin == OTHER_DIGITS:
            others = other_digits(few.real)
            assert others is not None, "a plan without transfer was needed"
            return others
        assert package is not None
        return _chosen(_sampled(extra, package, few.real), extra, few, teacher)


def _sampled(extra: Extra, package: Path, like: LabelledImages) -> LabelledImages:
    """As many of each class as remain `per_class` once the rest is sorted out."""
    drawn = round(extra.per_class / (extra.confident * extra.novel)) * len(like.class_names)
    generator = Generator(open_package(package), "fp32")
    seeds, labels = row_seeds(_SAMPLE_SEEDS, drawn), np.arange(drawn, dtype=np.int64) % len(like.class_names)
    parts = [
        generator.sample(seeds[start : start + _CHUNK], labels[start : start + _CHUNK], extra.truncation)
        for start in range(0, drawn, _CHUNK)
    ]
    return LabelledImages(np.concatenate(parts), labels, like.class_names)


def _chosen(images: LabelledImages, extra: Extra, few: FewImages, teacher: Classifier | None) -> LabelledImages:
    """`images` without those that a filter sorts out, the same share of every class."""
    if extra.confident < 1:
        assert teacher is not None
        own = teacher.probabilities(images.images).numpy()[np.arange(len(images)), images.labels]
        images = images.subset(_best(own, images.labels, extra.confident))
    if extra.novel < 1:
        images = images.subset(_best(nearest(images, few.real), images.labels, extra.novel))
    return images


def _best(scores: NDArray[np.float32], labels: NDArray[np.int64], share: float) -> NDArray[np.int64]:
    """Rows of the highest scores, `share` of each class."""
    kept = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        kept.append(rows[np.argsort(-scores[rows], kind="stable")[: max(1, round(share * len(rows)))]])
    return np.sort(np.concatenate(kept))


def _newness(images: LabelledImages, few: FewImages) -> float:
    ours, theirs = (float(np.median(nearest(each, few.real))) for each in (images, few.checked))
    return ours / max(theirs, 1e-9)


def nearest(images: LabelledImages, real: LabelledImages) -> NDArray[np.float32]:
    """Euclidean distance of each image to the nearest of `real`, pixels in 0 … 1, float32 ``[n]``."""
    left, right = (torch.from_numpy(each.images).flatten(1).float() / 255 for each in (images, real))
    distances: NDArray[np.float32] = torch.cdist(left, right).min(1).values.numpy()
    return distances
