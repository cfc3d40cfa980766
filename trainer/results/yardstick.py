"""What all generators of still images are measured with: real images, their judge, and what real images score."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from runtime.generator import Generator
from runtime.latents import row_seeds
from runtime.package import Package
from trainer.data import DataSplit, LabelledImages
from trainer.evaluation.comparison import Classes, Comparison, Likeness, imbalance, judge_classes
from trainer.evaluation.judge import Judge

FIRST_SEED = 8_000_000
"""Row seed of the first image that is measured."""

_ROWS = 250


@dataclass(frozen=True)
class Measured:
    """Numbers of one set of images.

    Attributes:
        classes: `classes.student` was trained on as many images as there are training images, so that the judge's
            accuracy is what real ones would teach it.
    """

    likeness: Likeness
    classes: Classes


class Yardstick:
    """Measures packages one at a time, whatever thread asks."""

    def __init__(self, data: DataSplit, judge: Judge, samples: int) -> None:
        """`samples`: generated images to compare with real ones, at most half of the training images."""
        self.data, self.judge = data, judge
        self._samples = samples
        self._lock = threading.Lock()

    @property
    def samples(self) -> int:
        """Generated images that are compared with real ones."""
        return self._comparison.samples

    @cached_property
    def real(self) -> Measured:
        """Real images with the same measures: the floor of every row."""
        held_out = self.data.held_out
        shares = np.bincount(held_out.labels, minlength=held_out.spec.classes) / len(held_out)
        found = imbalance(self.judge.predict(held_out.images), shares.tolist())
        accuracy = self.judge.accuracy(held_out)
        return Measured(self._comparison.floor, Classes(found, accuracy, accuracy))

    def measure(self, package: Package) -> Measured:
        """Images of `package` against real ones, and their classes.

        A generator with classes draws as many images of each as there are training images: a student learns from as
        many, and a distance to the training images has no part that is the difference of the shares of classes.
        """
        classes = tuple(package.manifest.classes)
        labels = np.zeros(self.samples, np.int64)
        if classes:
            labels = np.random.default_rng(0).permutation(self.data.train.labels).astype(np.int64)
        with self._lock:
            images = draw(Generator(package, "fp32"), labels)
            found = judge_classes(LabelledImages(images, labels, classes), self.data, self.judge)
            return Measured(self._comparison.compare(images), found)

    @cached_property
    def _comparison(self) -> Comparison:
        return Comparison(self.data.train.images, self.judge, self._samples)


def draw(generator: Generator, labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Images of consecutive row seeds from `FIRST_SEED`, uint8 ``[n, …]``; `labels` count where there are classes.

    On the CPU a call of `generator` takes one thread: there are as many at once as torch may use.
    """
    seeds = row_seeds(FIRST_SEED, len(labels))

    def part(at: int) -> NDArray[np.uint8]:
        return generator.sample(seeds[at : at + _ROWS], labels[at : at + _ROWS])

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return np.concatenate(list(pool.map(part, range(0, len(labels), _ROWS))))
