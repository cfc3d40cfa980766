"""The `evaluation` section of a recipe, and the images that are measured."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from runtime.latents import latents_from_seeds
from trainer.config import Config
from trainer.data.images import LabelledImages
from trainer.evaluation.feature_choice import FeatureChoice
from trainer.evaluation.gates import parse_gate

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
    """Training images at most among which the nearest one is looked for, and to which samples are compared."""

    features: FeatureChoice = "pixels"
    """In which features samples are compared with real images: pixels (principal components, quick), judge (a small
    classifier trained on the training images), inception=FILE, FILE.pt (TorchScript) or FILE.onnx."""

    require: tuple[str, ...] = ()
    """Quality gates, as in [coverage>=0.6, label_accuracy>0.9]. A package that misses one is published, and marked."""

    @field_validator("require")
    @classmethod
    def _gates(cls, expressions: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(str(parse_gate(text)) for text in expressions)


def draw_like(
    config: EvaluationConfig, real: LabelledImages, dim: int, sampler: Sampler, *, conditional: bool
) -> NDArray[np.uint8]:
    """As many images with the same seeds, labels in the shares that they have among `real`."""
    seeds = np.arange(config.first_seed, config.first_seed + config.samples, dtype=np.uint64)
    labels = real.labels[np.arange(config.samples) % len(real)] if conditional else np.zeros(config.samples, np.int64)
    return sampler(latents_from_seeds(seeds, dim), labels)


def draw_samples(config: EvaluationConfig, class_names: tuple[str, ...], dim: int, sampler: Sampler) -> LabelledImages:
    """The images that are measured: consecutive seeds, labels in turn."""
    seeds = np.arange(config.first_seed, config.first_seed + config.samples, dtype=np.uint64)
    labels = np.arange(config.samples, dtype=np.int64) % max(1, len(class_names))
    return LabelledImages(sampler(latents_from_seeds(seeds, dim), labels), labels, class_names)
