"""Euclidean distances between images, in pieces, so that large sets fit in memory."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.progress import watched

Points = NDArray[np.float32]
_CHUNK = 500
_REFERENCES = 4_000


def as_points(images: NDArray[np.uint8]) -> Points:
    """uint8 ``[n, …]`` to float32 ``[n, pixels]`` in 0 … 1."""
    return images.reshape(len(images), math.prod(images.shape[1:])).astype(np.float32) / np.float32(255)


def affordable(images: NDArray[np.uint8], most: int) -> int:
    """How many of `images`, at most `most`, are 200 MB as points; never fewer than 100."""
    return min(most, max(100, 50_000_000 // math.prod(images.shape[1:])))


def _squared_distances(left: Points, right: Points) -> Iterator[NDArray[np.float32]]:
    """Rows of the matrix of squared distances ``[len(left), len(right)]``, a piece at a time."""
    squares = np.square(right).sum(1)
    for start in range(0, len(left), _CHUNK):
        piece = left[start : start + _CHUNK]
        yield np.maximum(np.square(piece).sum(1)[:, None] + squares - 2 * piece @ right.T, 0)


def mean_pairwise_distance(points: Points) -> float:
    """Mean distance over all pairs of two different rows; at least two rows."""
    total = sum(float(np.sqrt(piece).sum(dtype=np.float64)) for piece in _squared_distances(points, points))
    return total / (len(points) * (len(points) - 1))


@dataclass(frozen=True)
class Nearest:
    """The nearest reference of each image: its distance (pixels in 0 … 1) and its row, both ``[n]``."""

    distances: NDArray[np.float32]
    rows: NDArray[np.int64]


def nearest_images(images: NDArray[np.uint8], references: NDArray[np.uint8]) -> Nearest:
    """Of images ``[n, …]`` among references ``[m, …]`` of the same size, at least one."""
    points = as_points(images)
    best = np.full(len(images), np.inf, np.float32)
    rows = np.zeros(len(images), np.int64)
    for first in watched(range(0, len(references), _REFERENCES), "nearest images"):
        pieces = _squared_distances(points, as_points(references[first : first + _REFERENCES]))
        for index, piece in enumerate(pieces):
            part = slice(index * _CHUNK, index * _CHUNK + len(piece))
            found = piece.argmin(1)
            squared = piece[np.arange(len(piece)), found]
            nearer = squared < best[part]
            best[part] = np.where(nearer, squared, best[part])
            rows[part] = np.where(nearer, found + first, rows[part])
    parts = [slice(start, start + _CHUNK) for start in range(0, len(images), _CHUNK)]
    exact = [np.linalg.norm(points[part] - as_points(references[rows[part]]), axis=1) for part in parts]
    return Nearest(np.concatenate([np.zeros(0, np.float32), *exact]), rows)
