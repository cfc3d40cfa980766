"""Vital signs of a generator while it trains: how varied its samples are, and which classes they show."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from runtime.latents import latents_from_seeds
from trainer.data.images import LabelledImages
from trainer.ema import generate
from trainer.evaluation.distances import affordable, as_points, mean_pairwise_distance
from trainer.grids import to_uint8
from trainer.networks.base import Generator

_FIRST_SEED = 5_000_000  # row seeds apart from those of grids and of the package's evaluation
_REAL_IMAGES = 5_000
_LEAST_OF_A_CLASS = 8
_FOR_DISTANCES = 500


def draw(generator: Generator, samples: int, class_names: tuple[str, ...], first_seed: int) -> LabelledImages:
    """`samples` images of consecutive seeds, labels in turn; takes nothing from PyTorch's random sequence."""
    seeds = np.arange(first_seed, first_seed + samples, dtype=np.uint64)
    labels = np.arange(samples, dtype=np.int64) % max(1, len(class_names))
    latents = torch.from_numpy(latents_from_seeds(seeds, generator.latent_dim))
    images = to_uint8(torch.nan_to_num(generate(generator, latents, torch.from_numpy(labels))))
    return LabelledImages(images.numpy(), labels, class_names)


class VitalSigns:
    """The real side, computed once; every measure is a ratio to it, so 1 is "as the training images"."""

    def __init__(self, real: LabelledImages, samples: int) -> None:
        order = np.random.default_rng(0).permutation(len(real))
        shuffled = real.subset(order[: affordable(real.images, _REAL_IMAGES)])
        self._real, self._samples = shuffled, samples
        self._classifier = _fit_classifier(self._real) if len(np.unique(self._real.labels)) > 1 else None
        # Of as many real images as samples: the entropy of a few draws from many classes is biased.
        self._classes = self._effective_classes(shuffled.images[:samples])

    def measure(self, generator: Generator) -> dict[str, float]:
        """`variety` and, where there are several classes, `classes`: see `variety_ratio`, `effective_number`."""
        samples = draw(generator, self._samples, self._real.class_names, _FIRST_SEED)
        signs = {"variety": variety_ratio(samples, self._real)}
        if self._classes is not None:
            signs["classes"] = (self._effective_classes(samples.images) or 0.0) / self._classes
        return signs

    def _effective_classes(self, images: NDArray[np.uint8]) -> float | None:
        if self._classifier is None:
            return None
        predicted = self._classifier.predict(as_points(images))
        return effective_number(np.bincount(predicted, minlength=len(self._real.class_names)))


def variety_ratio(samples: LabelledImages, real: LabelledImages) -> float:
    """Mean pairwise distance of `samples` over that of `real`: over all, or in the class where it is least.

    Classes with fewer than 8 samples are too small to be judged alone.
    """
    groups = [(samples.images, real.images)]
    for label in np.unique(real.labels):
        members = samples.images[samples.labels == label], real.images[real.labels == label]
        if min(map(len, members)) >= _LEAST_OF_A_CLASS:
            groups.append(members)
    ratios = []
    for ours, theirs in groups:
        reference = mean_pairwise_distance(as_points(theirs[:_FOR_DISTANCES]))
        if reference > 0:
            ratios.append(mean_pairwise_distance(as_points(ours)) / reference)
    return min(ratios, default=1.0)


def effective_number(counts: NDArray[np.int64]) -> float:
    """exp of the entropy of a histogram: n for n equally filled classes, 1 where one holds everything."""
    shares = counts[counts > 0] / counts.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _fit_classifier(real: LabelledImages) -> Any:
    """Linear discriminants on principal components: a rough reader of classes that fits in a second."""
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.pipeline import make_pipeline

    points = as_points(real.images)
    components = min(40, *points.shape)
    model = make_pipeline(PCA(components, random_state=0), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))
    return model.fit(points, real.labels)
