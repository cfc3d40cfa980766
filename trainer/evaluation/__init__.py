"""Measures of a finished generator, with the same measures on real images beside them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from runtime.latents import latents_from_seeds
from runtime.manifest import Measurement
from trainer.config import Config
from trainer.data import DataSplit, LabelledImages
from trainer.evaluation.classifier import ImageClassifier
from trainer.evaluation.measures import (
    label_accuracy,
    nearest_training_ratio,
    smallest_class_variety,
    synthetic_to_real_accuracy,
)
from trainer.evaluation.sequences import frame_frechet_distance, motion_amount, motion_smoothness

__all__ = ["EvaluationConfig", "Evaluator", "Sampler", "draw_samples"]

Sampler = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.uint8]]
"""Latents float32 ``[n, dim]`` and labels int64 ``[n]`` to images uint8 ``[n, H, W, C]``."""


class EvaluationConfig(Config):
    """How the finished generator is measured."""

    samples: int = Field(default=2_000, ge=20, le=100_000)
    """Generated images, spread evenly over the classes."""

    first_seed: int = Field(default=1_000_000, ge=0, lt=2**53 - 100_000)
    """Row seed of the first of them, see `runtime.latents`."""

    real_images: int = Field(default=10_000, ge=20)
    """Training images at most that a classifier or a pairwise distance looks at."""

    nearest_images: int = Field(default=60_000, ge=20)
    """Training images at most among which the nearest one is looked for."""


def draw_samples(config: EvaluationConfig, class_names: tuple[str, ...], dim: int, sampler: Sampler) -> LabelledImages:
    """The images that are measured: consecutive seeds, labels in turn."""
    seeds = np.arange(config.first_seed, config.first_seed + config.samples, dtype=np.uint64)
    labels = np.arange(config.samples, dtype=np.int64) % max(1, len(class_names))
    return LabelledImages(sampler(latents_from_seeds(seeds, dim), labels), labels, class_names)


class Evaluator:
    """The real side of every measure, computed once, for the samples of any number of precisions."""

    def __init__(self, config: EvaluationConfig, data: DataSplit) -> None:
        self._data = DataSplit(
            data.source, data.train.at_most(config.nearest_images), data.held_out.at_most(config.samples)
        )
        self._real = data.train.at_most(config.real_images)
        self._judge = ImageClassifier(self._real) if data.train.spec.classes > 1 else None

    def measure(self, samples: LabelledImages) -> dict[str, Measurement]:
        """Every measure that data and samples allow, by name; without labels there is no accuracy."""
        held_out, real = self._data.held_out, self._real
        if not samples.class_names:  # of a generator that takes no labels
            held_out, real = held_out.unlabelled(), real.unlabelled()
        values: dict[str, tuple[float | None, float | None]] = {
            "smallest_class_variety": (
                smallest_class_variety(samples, real),
                smallest_class_variety(held_out, real),
            ),
            "nearest_training_ratio": (nearest_training_ratio(samples, self._data), 1.0),
        }
        if self._judge is not None and samples.class_names:
            real_accuracy = self._judge.accuracy(held_out)
            values["label_accuracy"] = (label_accuracy(samples, self._judge), real_accuracy)
            values["synthetic_to_real_accuracy"] = (
                synthetic_to_real_accuracy(samples, held_out),
                real_accuracy,
            )
        if samples.spec.frames > 1:
            for measure in (frame_frechet_distance, motion_amount, motion_smoothness):
                values[measure.__name__] = (
                    measure(samples.images, real.images),
                    measure(held_out.images, real.images),
                )
        return {
            name: Measurement(value=value, samples=len(samples), real=of_real)
            for name, (value, of_real) in sorted(values.items())
            if value is not None
        }
