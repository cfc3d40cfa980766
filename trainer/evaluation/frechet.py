"""The Fréchet distance of two sets of features, each taken as a Gaussian (Heusel et al. 2017, eq. 6).

d² = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Gaussian:
    """Mean ``[d]`` and covariance ``[d, d]`` of features."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def fit_gaussian(features: NDArray[np.float32]) -> Gaussian:
    """Of features ``[n, d]``, with the unbiased covariance; all zeros for a single row."""
    rows = features.astype(np.float64)
    mean = rows.mean(0)
    centred = rows - mean
    return Gaussian(mean, centred.T @ centred / max(1, len(rows) - 1))


def frechet_distance(left: Gaussian, right: Gaussian) -> float:
    """d² of the module's equation, never below zero.

    The trace of (Σ₁ Σ₂)^½ is taken from the eigenvalues of the symmetric A Σ₂ A with A = Σ₁^½, which are those
    of Σ₁ Σ₂; singular covariances (fewer samples than dimensions, constant features) need no special care.
    """
    values, vectors = np.linalg.eigh(left.covariance)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    product = np.linalg.eigvalsh(root @ right.covariance @ root)
    trace = np.trace(left.covariance) + np.trace(right.covariance) - 2 * np.sqrt(np.maximum(product, 0)).sum()
    return max(0.0, float(np.square(left.mean - right.mean).sum() + trace))
