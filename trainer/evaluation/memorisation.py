"""Whether a generator gives back its training images, by distances of pixels (in 0 … 1, Euclidean).

Three questions, since each misses something: how near samples come to *any* training image, compared with what unseen
real images do; whether they are nearer to training than to held-out images of equally large sets, as only knowledge of
the training images can make them (Meehan et al. 2020, "A non-parametric test to detect data-copying"); and which are
copies outright.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Measurement
from trainer.data.images import DataSplit
from trainer.evaluation.distances import Nearest, nearest_images

Pixels = NDArray[np.uint8]

_NEAR = 0.01
_NEAR_COPIES = 0.05
_NEARER = 0.6


@dataclass(frozen=True)
class Closeness:
    """Of a set of images, one number each.

    Attributes:
        nearest: the nearest training image.
        nearer_to_training: 1 where it is nearer to a training than to a held-out image of equally large sets, ½ where
            neither is; 0 else. Its mean is about ½ for real images that are new.
        nearest_of_both: which image of the two sets is the nearest, a number of its own for each.
        near: 1 where it is nearer to a training image than 99 % of held-out images.
        exact: 1 where it is a training image.
    """

    nearest: Nearest
    nearer_to_training: NDArray[np.float64]
    nearest_of_both: NDArray[np.int64]
    near: NDArray[np.float64]
    exact: NDArray[np.float64]


class Memory:
    """Training and held-out images, and how close the latter come to the former: the floor."""

    def __init__(self, data: DataSplit) -> None:
        self._train, self._held_out = data.train.images, data.held_out.images
        random = np.random.default_rng(0)
        self._equal = random.permutation(len(self._train))[: len(self._held_out)]
        self._unseen = random.permutation(len(self._held_out))[: len(self._train)]
        self._digests = {image.tobytes() for image in self._train}
        nearest = nearest_images(self._held_out, self._train)
        self.threshold = float(np.quantile(nearest.distances, _NEAR))
        """Below it lies 1 % of the held-out images' distances to the nearest training image."""
        self.floor = self._closeness(self._held_out, nearest, self._floor_of_nearness())

    def closeness(self, images: Pixels) -> Closeness:
        """Of `images` uint8 ``[n, …]`` of the training images' size."""
        train, held_out = self._train[np.sort(self._equal)], self._held_out[np.sort(self._unseen)]
        nearer = _nearer(images, train, held_out)
        return self._closeness(images, nearest_images(images, self._train), nearer)

    def _closeness(self, images: Pixels, nearest: Nearest, nearer: "_Nearer") -> Closeness:
        exact = np.array([image.tobytes() in self._digests for image in images], np.float64)
        near = np.maximum(nearest.distances < self.threshold, exact)
        return Closeness(nearest, nearer.shares, nearer.nearest, near.astype(np.float64), exact)

    def _floor_of_nearness(self) -> "_Nearer":
        """Half of the held-out images in the place of samples, the other half in that of held-out images."""
        half = len(self._unseen) // 2
        if half < 1:
            return _Nearer(np.full(1, 0.5), np.zeros(1, np.int64))
        ours, theirs = self._unseen[:half], self._unseen[half : 2 * half]
        return _nearer(self._held_out[ours], self._train[np.sort(self._equal[:half])], self._held_out[theirs])


@dataclass(frozen=True)
class _Nearer:
    """`Closeness.nearer_to_training` and `Closeness.nearest_of_both`."""

    shares: NDArray[np.float64]
    nearest: NDArray[np.int64]


def _nearer(images: Pixels, train: Pixels, held_out: Pixels) -> _Nearer:
    of_train, of_held_out = nearest_images(images, train), nearest_images(images, held_out)
    to_train, to_held_out = of_train.distances, of_held_out.distances
    shares: NDArray[np.float64] = (to_train < to_held_out) + 0.5 * (to_train == to_held_out)
    return _Nearer(shares, np.where(to_train <= to_held_out, of_train.rows, len(train) + of_held_out.rows))


def chance_of_nearness(nearest_of_both: NDArray[np.int64]) -> float:
    """Standard deviation of the mean of `nearer_to_training` for a generator that knows neither set.

    Then either set might as well have been the other, and all samples whose nearest image is the same go to its side
    together: over random exchanges of the two sets (a permutation test), √(Σ c²) / 2n for c samples at each image. Few
    images decide where samples lie far from all, or sets are small.
    """
    counts = np.bincount(nearest_of_both)
    return float(np.sqrt(np.square(counts, dtype=np.float64).sum()) / (2 * len(nearest_of_both)))


def signs_of_copying(near: Measurement, nearer: Measurement, exact: Measurement) -> list[str]:
    """Sentences, none for a generator that does not copy; each looks at the lower end of a 95 % interval.

    Args:
        near: `near_copies`; real images score about 0.01, more where held-out images are in training too.
        nearer: `nearer_to_training`; real images score about 0.5, in small sets by chance far more.
        exact: `exact_copies`; real images score above 0 in sets that hold images twice.
    """
    signs = []
    if _at_least(exact) > (exact.real or 0.0):
        signs.append(f"at least {_at_least(exact):.1%} of the samples are training images, pixel by pixel")
    if _at_least(near) > max(_NEAR_COPIES, near.real or 0.0):
        signs.append(f"at least {_at_least(near):.1%} are nearer to a training image than 99 % of unseen real images")
    if _at_least(nearer) > max(_NEARER, nearer.real or 0.0):
        share = f"{_at_least(nearer):.1%}"
        signs.append(f"at least {share} are nearer to training than to as many held-out images (real: 50 %)")
    return signs


def _at_least(share: Measurement) -> float:
    return share.interval[0] if share.interval else share.value
