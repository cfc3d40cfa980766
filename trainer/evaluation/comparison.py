"""Generated images against real ones, each number beside what real images themselves score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.data.images import DataSplit, LabelledImages
from trainer.evaluation.features import Features
from trainer.evaluation.frechet import fit_gaussian, frechet_distance
from trainer.evaluation.judge import Judge, fit_judge
from trainer.evaluation.neighbours import neighbourhood


@dataclass(frozen=True)
class Likeness:
    """How alike two sets of images are, see `trainer.evaluation.frechet` and `.neighbours`."""

    frechet: float
    precision: float
    recall: float
    density: float
    coverage: float


@dataclass(frozen=True)
class Classes:
    """What a judge makes of the classes of generated images.

    Attributes:
        imbalance: largest relative difference of a class's share from its real share, 0 … .
        accuracy: share of images recognised as the class asked for; None without classes to ask for.
        student: accuracy on held-out images of a network trained on the generated ones alone; None likewise.
    """

    imbalance: float
    accuracy: float | None
    student: float | None


class Comparison:
    """The real side, computed once: a sample of training images, and the rest of them as the reference.

    The two are disjoint, so that what the sample scores is the floor: the score of images that are real and new.
    """

    def __init__(self, real: NDArray[np.uint8], features: Features, samples: int) -> None:
        """`real` are training images uint8 ``[n, …]``; `samples` the size of a set to be compared, at most n / 2."""
        order = np.random.default_rng(0).permutation(len(real))
        self.samples = min(samples, len(real) // 2)
        self._features = features
        rest = features(real[np.sort(order[self.samples :])])
        self._gaussian = fit_gaussian(rest)
        self._neighbours = rest[np.random.default_rng(1).permutation(len(rest))[: self.samples]]
        self.floor = self._compare(features(real[order[: self.samples]]))

    def compare(self, images: NDArray[np.uint8]) -> Likeness:
        """`images`, of which the first `samples` count, against the reference."""
        return self._compare(self._features(images[: self.samples]))

    def _compare(self, features: NDArray[np.float32]) -> Likeness:
        near = neighbourhood(self._neighbours, features)
        distance = frechet_distance(fit_gaussian(features), self._gaussian)
        return Likeness(distance, near.precision, near.recall, near.density, near.coverage)


def imbalance(predicted: NDArray[np.int64], shares: Sequence[float]) -> float:
    """Largest relative difference of a class's share in `predicted` from its share in `shares`."""
    found = np.bincount(predicted, minlength=len(shares)) / len(predicted)
    return max(abs(float(ours) / theirs - 1) for ours, theirs in zip(found, shares, strict=True) if theirs > 0)


def judge_classes(samples: LabelledImages, data: DataSplit, judge: Judge) -> Classes:
    """`samples` with the labels they were asked for, evenly, or without classes."""
    predicted = judge.predict(samples.images)
    if not samples.class_names:
        real = np.bincount(data.train.labels, minlength=data.train.spec.classes) / len(data.train)
        return Classes(imbalance(predicted, real.tolist()), None, None)
    even = [1 / len(samples.class_names)] * len(samples.class_names)
    return Classes(
        imbalance(predicted, even),
        float((predicted == samples.labels).mean()),
        fit_judge(samples).accuracy(data.held_out),
    )
