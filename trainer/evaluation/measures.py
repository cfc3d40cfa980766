"""What is measured of a finished generator. Each takes real and generated images and gives one number.

A single one can be cheated: clones of one good image per class score a perfect label accuracy, noise is
varied, and copies of the training set look best of all. Together they cannot.
"""

import numpy as np

from trainer.data import DataSplit, LabelledImages
from trainer.evaluation.classifier import ImageClassifier
from trainer.evaluation.distances import as_points, mean_pairwise_distance, nearest_distances


def label_accuracy(samples: LabelledImages, judge: ImageClassifier) -> float:
    """Share of `samples` that a classifier trained on real images recognises as the class asked for, 0 … 1."""
    return judge.accuracy(samples)


def smallest_class_variety(samples: LabelledImages, real: LabelledImages) -> float | None:
    """Mean pairwise distance of a class's samples over that of its real images, in the class where it is least.

    1 is as varied as real, 0 is one image repeated. None where no class has two images on both sides, or
    real images of it differ.
    """
    ratios = []
    for label in np.unique(real.labels):
        generated = as_points(samples.images[samples.labels == label])
        reference = as_points(real.images[real.labels == label])
        if len(generated) < 2 or len(reference) < 2:
            continue
        real_distance = mean_pairwise_distance(reference)
        if real_distance > 0:
            ratios.append(mean_pairwise_distance(generated) / real_distance)
    return min(ratios, default=None)


def nearest_training_ratio(samples: LabelledImages, data: DataSplit) -> float | None:
    """Median distance of `samples` to the nearest training image, over that of held-out images.

    About 1 for new images of the same kind; towards 0 for copies of training images. None where the held-out
    images are copies themselves.
    """
    training = as_points(data.train.images)
    held_out = float(np.median(nearest_distances(as_points(data.held_out.images), training)))
    if held_out == 0:
        return None
    return float(np.median(nearest_distances(as_points(samples.images), training))) / held_out


def synthetic_to_real_accuracy(samples: LabelledImages, held_out: LabelledImages) -> float:
    """Accuracy on real held-out images of a classifier trained on `samples` alone, 0 … 1."""
    return ImageClassifier(samples).accuracy(held_out)
