"""What is searched for: generated images against held-out ones, in the features of a judge of the training split."""

from dataclasses import dataclass
from functools import cached_property
from statistics import mean
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainer.data import DataSplit
from trainer.errors import DataError
from trainer.evaluation.comparison import Comparison
from trainer.evaluation.judge import Judge
from trainer.networks.base import Generator
from trainer.vitals import draw

Objective = Literal["frechet", "coverage"]
DIRECTIONS: dict[Objective, Literal["minimize", "maximize"]] = {"frechet": "minimize", "coverage": "maximize"}
FIRST_SEED, FRESH_SEED = 9_000_000, 10_000_000
"""Row seeds of the images by which trials are chosen, and of those by which the choice is checked."""

LEAST_HELD_OUT = 20
_MOST_HELD_OUT = 2_000
_LEAST_GENERATED = 4_000


@dataclass(frozen=True)
class Score:
    """Measures of one generator.

    Attributes:
        frechet: distance of generated images to all held-out ones; less is better.
        coverage: share of held-out images that have a generated one nearby, 0 … 1; more is better.
    """

    frechet: float
    coverage: float


class HeldOut:
    """The real side, of which at most 2,000 held-out images count."""

    def __init__(self, data: DataSplit, judge: Judge) -> None:
        """The judge should know nothing of `data.held_out`.

        Raises:
            DataError: see `check_images`.
        """
        check_images(data)
        self._data, self._judge = data, judge
        self._images = data.held_out.at_most(_MOST_HELD_OUT).images

    def score(self, generator: Generator, first_seed: int) -> Score:
        """Images of consecutive row seeds from `first_seed`, labels in turn."""
        n = max(_LEAST_GENERATED, 2 * len(self._images))
        images = draw(generator, n, self._data.train.class_names, first_seed).images
        return Score(self._frechet(images), self._coverage(images))

    @cached_property
    def real(self) -> Score:
        """What real images score: those of the training split, and one half of the held-out ones."""
        return Score(self._frechet(self._data.train.at_most(_LEAST_GENERATED).images), self._halves.floor.coverage)

    def _frechet(self, images: NDArray[np.uint8]) -> float:
        """Between all held-out images and what is left of `images` once so many are taken away: the distance is
        symmetric, so the larger set serves as the reference."""
        return Comparison(images, self._judge, len(self._images)).compare(self._images).frechet

    def _coverage(self, images: NDArray[np.uint8]) -> float:
        """Of one half of the held-out images by as many of `images`, the mean over all parts of these."""
        size = self._halves.samples
        parts = (images[start : start + size] for start in range(0, len(images) - size + 1, size))
        return mean(self._halves.compare(part).coverage for part in parts)

    @cached_property
    def _halves(self) -> Comparison:
        return Comparison(self._images, self._judge, len(self._images) // 2)


def better(objective: Objective, new: float, old: float) -> bool:
    """Whether `new` is a better value of `objective` than `old`."""
    return new < old if DIRECTIONS[objective] == "minimize" else new > old


def check_images(data: DataSplit) -> None:
    """See whether generators of `data` can be compared.

    Raises:
        DataError: sequences, or too few held-out images.
    """
    if data.train.spec.frames > 1:
        raise DataError(f"{data.source}: a search compares still images, these are sequences")
    if len(data.held_out) < LEAST_HELD_OUT:
        raise DataError(
            f"{data.source}: {len(data.held_out)} held-out images, at least {LEAST_HELD_OUT} are needed to compare "
            "trials; --set data.held_out=0.5 keeps more apart"
        )
