"""Sequences of a package against real ones, and what real ones that were held out score."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.generator import Generator
from runtime.package import Package
from trainer.data import DataSplit
from trainer.evaluation.sequences import frame_frechet_distance, motion_amount, motion_smoothness
from trainer.results.yardstick import draw


@dataclass(frozen=True)
class Motion:
    """See `trainer.evaluation.sequences`; amount and smoothness are 1 where they are those of real sequences."""

    frechet: float
    amount: float
    smoothness: float


@dataclass(frozen=True)
class MeasuredMotion:
    """Generated sequences, and as many held-out real ones, both against the training sequences."""

    sequences: int
    generated: Motion
    real: Motion


def measure_motion(package: Package, data: DataSplit, samples: int) -> MeasuredMotion:
    """`samples` sequences of `package`, or as many as were held out where those are fewer."""
    n = min(samples, len(data.held_out))
    labels = np.arange(n, dtype=np.int64) % max(1, len(package.manifest.classes))
    generated = draw(Generator(package, "fp32"), labels)
    reference = data.train.images
    return MeasuredMotion(n, _motion(generated, reference), _motion(data.held_out.images[:n], reference))


def _motion(sequences: NDArray[np.uint8], reference: NDArray[np.uint8]) -> Motion:
    return Motion(
        frame_frechet_distance(sequences, reference),
        motion_amount(sequences, reference),
        motion_smoothness(sequences, reference),
    )
