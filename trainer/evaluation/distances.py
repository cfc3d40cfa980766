"""Euclidean distances between images, in pieces, so that large sets fit in memory."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]
_CHUNK = 500


def as_points(images: NDArray[np.uint8]) -> Points:
    """uint8 ``[n, …]`` to float32 ``[n, pixels]`` in 0 … 1."""
    return images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32) / np.float32(255)


def affordable(images: NDArray[np.uint8], most: int) -> int:
    """How many of `images`, at most `most`, are 200 MB as points; never fewer than 100."""
    return min(most, max(100, 50_000_000 // math.prod(images.shape[1:])))


def _distances(left: Points, right: Points) -> Iterator[NDArray[np.float32]]:
    """Rows of the distance matrix ``[len(left), len(right)]``, a piece at a time."""
    squares = np.square(right).sum(1)
    for start in range(0, len(left), _CHUNK):
        piece = left[start : start + _CHUNK]
        yield np.sqrt(np.maximum(np.square(piece).sum(1)[:, None] + squares - 2 * piece @ right.T, 0))


def mean_pairwise_distance(points: Points) -> float:
    """Mean distance over all pairs of two different rows; at least two rows."""
    total = sum(float(piece.sum(dtype=np.float64)) for piece in _distances(points, points))
    return total / (len(points) * (len(points) - 1))


def nearest_distances(points: Points, references: Points) -> NDArray[np.float32]:
    """Distance of each row of `points` to its nearest row of `references`, ``[len(points)]``."""
    return np.concatenate([piece.min(axis=1) for piece in _distances(points, references)])
