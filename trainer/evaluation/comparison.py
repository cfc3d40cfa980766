"""Generated images against real ones, each number beside what real images themselves score."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from trainer.data.images import DataSplit, LabelledImages
from trainer.evaluation.features import Features
from trainer.evaluation.frechet import Gaussian, fit_gaussian, frechet_distance
from trainer.evaluation.judge import Judge, fit_judge
from trainer.evaluation.kernel import kernel_distance
from trainer.evaluation.neighbours import NEAREST, neighbourhood
from trainer.evaluation.resampling import SUBSAMPLES, Rows, subsampled_deviation

LEAST = NEAREST + 1
"""Images of each set that a comparison needs."""

_MANY_DIMENSIONS, _FEW_SUBSAMPLES = 512, 20  # a Fréchet distance costs the cube of the dimensions


@dataclass(frozen=True)
class Likeness:
    """How alike two sets of images are, see `trainer.evaluation.frechet`, `.neighbours` and `.kernel`."""

    frechet: float
    precision: float
    recall: float
    density: float
    coverage: float
    kernel: float | None = None  # of what was kept before it was measured


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
        """`real` are training images uint8 ``[n, …]``; `samples` the size of a set to be compared, at most n / 2.

        Raises:
            ValueError: fewer than 2 · `LEAST` images.
        """
        order = np.random.default_rng(0).permutation(len(real))
        self.samples = min(samples, len(real) // 2)
        if self.samples < LEAST:
            raise ValueError(f"{len(real)} real images, at least {2 * LEAST} are needed")
        self._features = features
        rest = features(real[np.sort(order[self.samples :])])
        self._rest = rest[np.random.default_rng(1).permutation(len(rest))]
        self._gaussian = fit_gaussian(self._rest)
        self._sample = features(real[order[: self.samples]])
        self.floor = self._compare(self._sample)

    def compare(self, images: NDArray[np.uint8]) -> Likeness:
        """`images`, of which the first `samples` count, against the reference."""
        return self._compare(self._features(images[: self.samples]))

    def compare_with_deviations(self, images: NDArray[np.uint8]) -> tuple[Likeness, Likeness]:
        """What `compare` says, and the standard deviation of each number; NaN for fewer than 2 · `LEAST` images."""
        features = self._features(images[: self.samples])
        return self._compare(features), self._deviations(features)

    @cached_property
    def floor_deviations(self) -> Likeness:
        """Standard deviations of the numbers of `floor`."""
        return self._deviations(self._sample)

    def _compare(self, features: NDArray[np.float32]) -> Likeness:
        return _likeness(features, self._rest[: self.samples], self._gaussian)

    def _deviations(self, features: NDArray[np.float32]) -> Likeness:
        def numbers(ours: Rows, theirs: Rows) -> NDArray[np.float64]:
            some = self._rest[theirs]
            return np.array(astuple(_likeness(features[ours], some[: len(ours)], fit_gaussian(some))))

        draws = SUBSAMPLES if features.shape[1] <= _MANY_DIMENSIONS else _FEW_SUBSAMPLES
        found = subsampled_deviation(numbers, len(features), len(self._rest), least=LEAST, draws=draws)
        return Likeness(*found.tolist())


def _likeness(features: NDArray[np.float32], reference: NDArray[np.float32], gaussian: Gaussian) -> Likeness:
    near = neighbourhood(reference, features)
    return Likeness(
        frechet_distance(fit_gaussian(features), gaussian),
        near.precision,
        near.recall,
        near.density,
        near.coverage,
        kernel_distance(reference, features),
    )


def imbalance(predicted: NDArray[np.int64], shares: Sequence[float]) -> float:
    """Largest relative difference of a class's share in `predicted` from its share in `shares`."""
    found = np.bincount(predicted, minlength=len(shares)) / len(predicted)
    return max(abs(float(ours) / theirs - 1) for ours, theirs in zip(found, shares, strict=True) if theirs > 0)


def judge_classes(samples: LabelledImages, data: DataSplit, judge: Judge) -> Classes:
    """`samples` with the labels they were asked for, whose shares are the real ones then, or without classes."""
    predicted = judge.predict(samples.images)
    if not samples.class_names:
        real = np.bincount(data.train.labels, minlength=data.train.spec.classes) / len(data.train)
        return Classes(imbalance(predicted, real.tolist()), None, None)
    asked = np.bincount(samples.labels, minlength=len(samples.class_names)) / len(samples.labels)
    return Classes(
        imbalance(predicted, asked.tolist()),
        float((predicted == samples.labels).mean()),
        fit_judge(samples).accuracy(data.held_out),
    )
