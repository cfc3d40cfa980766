"""Latents and labels with which graphs are calibrated, compared and recorded."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.latents import latents_from_seeds

# Row seeds of each purpose, apart from one another and from the small ones that people use.
PARITY_SEED = 2_000_000
CALIBRATION_SEED = 3_000_000
SELF_TEST_SEED = 4_000_000
SELF_TEST_IMAGES = 8


@dataclass(frozen=True)
class Probe:
    """Inputs of a generator: consecutive row seeds, labels in turn.

    Attributes:
        seeds: uint64 ``[n]``.
        latents: float32 ``[n, dim]``.
        labels: int64 ``[n]``, zeros without classes.
        conditional: whether the graph takes labels.
    """

    seeds: NDArray[np.uint64]
    latents: NDArray[np.float32]
    labels: NDArray[np.int64]
    conditional: bool

    def inputs(self) -> dict[str, NDArray[Any]]:
        """By the names of the graph's inputs."""
        found: dict[str, NDArray[Any]] = {"latents": self.latents}
        return found | {"label": self.labels} if self.conditional else found


def draw_probe(first_seed: int, n: int, dim: int, classes: int) -> Probe:
    """`n` rows from `first_seed` on for a generator of `classes` classes; 0: it takes no labels."""
    seeds = np.arange(first_seed, first_seed + n, dtype=np.uint64)
    labels = np.arange(n, dtype=np.int64) % max(1, classes)
    return Probe(seeds, latents_from_seeds(seeds, dim), labels, classes > 0)
