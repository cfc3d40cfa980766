"""What is measured of a finished generator. Each takes real and generated images and gives one number.

A single one can be cheated: clones of one good image per class score a perfect label accuracy, noise is
varied, and copies of the training set look best of all. Together they cannot.
"""

import numpy as np
from numpy.typing import NDArray

from trainer.data.images import LabelledImages
from trainer.evaluation.classifier import Classifier
from trainer.evaluation.per_class import variety


def recognised(images: LabelledImages, reader: Classifier) -> NDArray[np.float64]:
    """1 for each image that `reader` reads as its label, else 0, ``[n]``."""
    right: NDArray[np.float64] = (reader.predict(images.images) == images.labels).astype(np.float64)
    return right


def smallest_class_variety(samples: LabelledImages, real: LabelledImages) -> float | None:
    """Mean pairwise distance of a class's samples over that of its real images, in the class where it is least.

    1 is as varied as real, 0 is one image repeated. None where no class has two images on both sides, or
    real images of it differ.
    """
    ratios = [
        variety(samples.images[samples.labels == label], real.images[real.labels == label])
        for label in np.unique(real.labels)
    ]
    return min((ratio for ratio in ratios if ratio is not None), default=None)


def ratio_of_medians(distances: NDArray[np.float32], real: NDArray[np.float32]) -> float:
    """Median of `distances` to the nearest training image over that of held-out images.

    About 1 for new images of the same kind; towards 0 for copies of training images. NaN where the held-out
    images are copies themselves.
    """
    median = float(np.median(real))
    return float(np.median(distances)) / median if median > 0 else float("nan")


def joined(left: LabelledImages, right: LabelledImages) -> LabelledImages:
    """Both sets in one; their classes are the same."""
    return LabelledImages(
        np.concatenate([left.images, right.images]), np.concatenate([left.labels, right.labels]), left.class_names
    )
