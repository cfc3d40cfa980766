"""How well generated features cover real ones and the other way round, by nearest neighbours.

Precision and recall after Kynkäänniemi et al. 2019 (eqs. 1, 2); density and coverage after Naeem et al. 2020
("Reliable fidelity and diversity metrics for generative models", eqs. 3, 4).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.progress import watched

NEAREST = 5
"""How many neighbours a ball reaches over, k in the papers."""

_CHUNK = 1000


@dataclass(frozen=True)
class Neighbourhood:
    """The four measures.

    Attributes:
        precision: share of generated rows inside the ball of some real row.
        recall: share of real rows inside the ball of some generated row.
        density: real balls a generated row lies in, on average, over k; about 1 for real against real.
        coverage: share of real rows whose own ball holds a generated row.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def neighbourhood(real: NDArray[np.float32], generated: NDArray[np.float32], k: int = NEAREST) -> Neighbourhood:
    """Compare features ``[n, d]`` and ``[m, d]``; a row's ball reaches to its k-th neighbour in its own set.

    Raises:
        ValueError: a set has no k other rows.
    """
    if min(len(real), len(generated)) <= k:
        raise ValueError(f"{len(real)} real and {len(generated)} generated rows, more than {k} of each are needed")
    real_radii, generated_radii = _radii(real, k), _radii(generated, k)
    inside_real = np.zeros(len(generated), np.int64)
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for start in watched(range(0, len(real), _CHUNK), "neighbours"):
        part = slice(start, start + _CHUNK)
        distances = _squared_distances(real[part], generated)
        within = distances < real_radii[part, None]
        inside_real += within.sum(0)
        covered[part] = within.any(1)
        recalled[part] = (distances < generated_radii).any(1)
    return Neighbourhood(
        precision=float((inside_real > 0).mean()),
        recall=float(recalled.mean()),
        density=float(inside_real.mean() / k),
        coverage=float(covered.mean()),
    )


def _radii(rows: NDArray[np.float32], k: int) -> NDArray[np.float64]:
    """Squared distance of each row to its k-th other row, ``[n]``."""
    radii = [
        np.partition(_squared_distances(rows[start : start + _CHUNK], rows), k, axis=1)[:, k]  # itself comes first
        for start in watched(range(0, len(rows), _CHUNK), "neighbours")
    ]
    return np.concatenate(radii)


def _squared_distances(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
    """``[len(left), len(right)]``, in double precision: radii and distances are compared with one another."""
    a, b = left.astype(np.float64), right.astype(np.float64)
    squared: NDArray[np.float64] = np.maximum(np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T, 0)
    return squared
