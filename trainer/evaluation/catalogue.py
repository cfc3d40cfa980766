"""Every measure that an evaluation may hold: its name, what it means, where it can lie, which way is better."""

from dataclasses import dataclass
from math import inf
from typing import Literal

from runtime.fine_tuning import COPYING, IMPROVEMENT

Group = Literal[
    "likeness", "classes", "usefulness", "memorisation", "diversity", "motion", "reconstruction", "fine-tuning"
]
HELD_OUT_DISTANCE = "held_out_kernel_distance"


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        group: of measures that are read together.
        title: for people, a few words.
        meaning: one sentence.
        better: `real`: where real images are, neither above nor below.
        low: least value there can be.
        high: largest.
    """

    group: Group
    title: str
    meaning: str
    better: Literal["higher", "lower", "real"]
    low: float = 0.0
    high: float = inf


CATALOGUE: dict[str, Measure] = {
    "frechet_distance": Measure(
        "likeness", "Fréchet distance", "Of generated from real features, each set taken as a Gaussian.", "lower"
    ),
    "kernel_distance": Measure(
        "likeness", "Kernel distance", "Squared MMD of the features, cubic kernel, unbiased.", "lower", -inf
    ),
    "precision": Measure("likeness", "Precision", "Samples that lie where real images do.", "higher", high=1),
    "recall": Measure("likeness", "Recall", "Real images that lie where samples do.", "higher", high=1),
    "density": Measure("likeness", "Density", "How many real neighbourhoods hold a sample, over k.", "higher"),
    "coverage": Measure("likeness", "Coverage", "Real images with a sample in their neighbourhood.", "higher", high=1),
    "label_accuracy": Measure("classes", "Label accuracy", "Samples read as the class asked for.", "higher", high=1),
    "modes": Measure("classes", "Modes", "Classes that at least one sample shows.", "higher"),
    "modes_divergence": Measure(
        "classes", "Modes, KL", "KL of the samples' classes from those expected, in nats.", "lower"
    ),
    "synthetic_to_real_accuracy": Measure(
        "usefulness", "Trained on synthetic", "Of a classifier of samples alone, on held-out real images.", "higher",
        high=1,
    ),
    "real_and_synthetic_accuracy": Measure(
        "usefulness", "Trained on both", "Of a classifier of real images and samples, likewise.", "higher", high=1
    ),
    "nearest_training_ratio": Measure(
        "memorisation", "Distance to training", "Median distance to the nearest training image, over held-out ones'.",
        "real",
    ),
    "nearer_to_training": Measure(
        "memorisation", "Nearer to training", "Samples nearer to training than to as many held-out images.", "real",
        high=1,
    ),
    "near_copies": Measure(
        "memorisation", "Near copies", "Samples nearer to a training image than 99 % of held-out images.", "lower",
        high=1,
    ),
    "exact_copies": Measure(
        "memorisation", "Exact copies", "Samples that are a training image, pixel by pixel.", "lower", high=1
    ),
    "smallest_class_variety": Measure(
        "diversity", "Variety", "Mean distance of a class's samples over real ones', where it is least.", "real"
    ),
    "frame_frechet_distance": Measure("motion", "Fréchet, frames", "Of single frames, as pixels.", "lower"),
    "motion_amount": Measure("motion", "Motion", "Change from frame to frame, over that of real sequences.", "real"),
    "motion_smoothness": Measure("motion", "Smoothness", "How steady motion is, over that of real ones.", "real"),
    "reconstruction_error": Measure(
        "reconstruction", "Reconstruction error", "Squared, over that of showing the mean image.", "lower"
    ),
    HELD_OUT_DISTANCE: Measure(
        "fine-tuning", "Kernel distance, held out", "To images that training never saw, in their classes' shares.",
        "lower", -inf,
    ),
    IMPROVEMENT: Measure(
        "fine-tuning", "Kernel distance, after over before", "To held-out images; before: of the base package.",
        "lower", -inf,
    ),
    COPYING: Measure("fine-tuning", "Signs of copying", "How many there are, see memorisation.", "lower"),
}  # fmt: skip
