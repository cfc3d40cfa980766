"""Which modes (classes) images show, and how evenly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Modes:
    """Which modes `samples` images show.

    Attributes:
        found: modes with at least one image.
        divergence: KL(p ‖ q) in nats of the images' modes from those expected; about
            (modes − 1) / (2 · samples) where nothing but chance parts them.
    """

    samples: int
    found: int
    divergence: float


def count_modes(modes: NDArray[np.int64], shares: NDArray[np.float64]) -> Modes:
    """Of the modes int64 ``[n]`` of images, where ``shares[mode]`` is expected, above 0."""
    counts = np.bincount(modes, minlength=len(shares))
    found = counts > 0
    ours = counts[found] / len(modes)
    return Modes(len(modes), int(found.sum()), float((ours * np.log(ours / shares[found])).sum()))
