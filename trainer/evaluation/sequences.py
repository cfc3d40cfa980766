"""Measures of sequences: whether their frames look real, and whether they move as real ones do."""

import numpy as np
from numpy.typing import NDArray

from trainer.evaluation.frechet import fit_gaussian, frechet_distance

Pixels = NDArray[np.uint8]
_LARGEST_SIDE = 24


def frame_frechet_distance(samples: Pixels, real: Pixels) -> float:
    """Fréchet distance of single frames as pixels in 0 … 1; 0 for equal distributions, whatever their order in time.

    Frames with a side above 24 are averaged over blocks first: a covariance of all their pixels would take minutes.

    Args:
        samples: uint8 ``[n, T, H, W, C]``.
        real: uint8 ``[m, T, H, W, C]``.
    """
    return frechet_distance(fit_gaussian(_frames(samples)), fit_gaussian(_frames(real)))


def motion(sequences: Pixels) -> NDArray[np.float64]:
    """Root mean square change of a pixel from each frame to the next, in 0 … 1, ``[n, T − 1]``."""
    levels = sequences.astype(np.float64) / 255
    change: NDArray[np.float64] = np.sqrt(np.square(np.diff(levels, axis=1)).mean(axis=(2, 3, 4)))
    return change


def motion_amount(samples: Pixels, real: Pixels) -> float:
    """Mean motion over that of real sequences: 1 is as lively, 0 is still."""
    return float(motion(samples).mean() / motion(real).mean())


def motion_smoothness(samples: Pixels, real: Pixels) -> float:
    """How steady the path of the brightness's centre is, over that of real sequences: 1 is as smooth, towards 0
    the path is jerky. Bounces count on both sides.

    Smoothness of a sequence is mean ‖velocity‖ over mean ‖velocity‖ + mean ‖acceleration‖, in pixels per frame and
    per frame²; those without any motion count 0.
    """
    return float(_smoothness(samples).mean() / _smoothness(real).mean())


def centres(sequences: Pixels) -> NDArray[np.float64]:
    """Centre of brightness of each frame in pixels, ``[n, T, 2]`` (row, column); that of a black one is the middle
    of the frame."""
    weights = sequences.astype(np.float64).sum(-1) + 1e-6
    rows, columns = np.arange(weights.shape[2]), np.arange(weights.shape[3])
    total = weights.sum((2, 3))
    along = ((weights.sum(3) * rows).sum(2) / total, (weights.sum(2) * columns).sum(2) / total)
    return np.stack(along, axis=-1)


def _smoothness(sequences: Pixels) -> NDArray[np.float64]:
    velocity = np.diff(centres(sequences), axis=1)
    speed = np.linalg.norm(velocity, axis=2).mean(1)
    jerk = np.linalg.norm(np.diff(velocity, axis=1), axis=2).mean(1)
    found: NDArray[np.float64] = np.divide(speed, speed + jerk, out=np.zeros_like(speed), where=speed > 1e-3)
    return found


def _frames(sequences: Pixels) -> NDArray[np.float32]:
    """``[n · T, numbers]`` in 0 … 1."""
    frames = sequences.reshape(-1, *sequences.shape[2:])
    _, height, width, channels = frames.shape
    block = -(-max(height, width) // _LARGEST_SIDE)
    high, wide = height // block, width // block
    cut = frames[:, : high * block, : wide * block].reshape(-1, high, block, wide, block, channels)
    averaged: NDArray[np.float32] = cut.mean(axis=(2, 4), dtype=np.float32).reshape(len(frames), -1)
    return averaged / np.float32(255)
