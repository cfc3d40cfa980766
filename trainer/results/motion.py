"""Sequences of a package against real ones, and what real ones that were held out score."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.generator import Generator
from runtime.package import Package
from trainer.data import DataSplit, LabelledImages
from trainer.evaluation.judge import trained_judge
from trainer.evaluation.sequences import frame_frechet_distance, motion_amount, motion_smoothness
from trainer.results.yardstick import draw

MOST = 2_000
"""Sequences of each kind: their frames are many."""


@dataclass(frozen=True)
class Motion:
    """See `trainer.evaluation.sequences`; amount and smoothness are 1 where they are those of real sequences."""

    frechet: float
    amount: float
    smoothness: float


@dataclass(frozen=True)
class MeasuredMotion:
    """Generated sequences, and as many held-out real ones, both against the training sequences.

    Attributes:
        labels: share of single frames recognised as the class asked for, of generated and of real sequences; None
            without classes to ask for.
    """

    sequences: int
    generated: Motion
    real: Motion
    labels: tuple[float, float] | None = None


def measure_motion(package: Package, data: DataSplit, samples: int, folder: Path) -> MeasuredMotion:
    """`samples` sequences of `package`, or as many as were held out where those are fewer; at most `MOST`.

    The judge of single frames is kept in `folder`.
    """
    data = DataSplit(data.source, data.train.at_most(MOST), data.held_out.at_most(min(samples, MOST)))
    n = len(data.held_out)
    classes = tuple(package.manifest.classes)
    labels = np.arange(n, dtype=np.int64) % max(1, len(classes))
    generated = LabelledImages(draw(Generator(package, "fp32"), labels), labels, classes)
    reference, real = data.train.images, data.held_out.images
    return MeasuredMotion(
        n, _motion(generated.images, reference), _motion(real, reference),
        _label_accuracy(generated, data, folder) if classes else None,
    )  # fmt: skip


def _label_accuracy(generated: LabelledImages, data: DataSplit, folder: Path) -> tuple[float, float]:
    frames = DataSplit(f"frames of {data.source}", _frames(data.train), _frames(data.held_out))
    judge = trained_judge(frames, folder)
    return judge.accuracy(_frames(generated)), judge.accuracy(frames.held_out)


def _frames(sequences: LabelledImages) -> LabelledImages:
    images, length = sequences.images, sequences.images.shape[1]
    return LabelledImages(images.reshape(-1, *images.shape[2:]), sequences.labels.repeat(length), sequences.class_names)


def _motion(sequences: NDArray[np.uint8], reference: NDArray[np.uint8]) -> Motion:
    return Motion(
        frame_frechet_distance(sequences, reference),
        motion_amount(sequences, reference),
        motion_smoothness(sequences, reference),
    )
