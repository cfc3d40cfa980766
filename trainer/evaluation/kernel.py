"""The kernel distance of two sets of features (Bińkowski et al. 2018, "Demystifying MMD GANs", sec. 4.1 and 5).

The squared maximum mean discrepancy under the kernel k(x, y) = (x·y / d + 1)³, by its unbiased estimator: about zero,
and below zero as often as above, for two sets of one distribution, whatever their sizes.
"""

import numpy as np
from numpy.typing import NDArray

from trainer.progress import watched

_CHUNK = 1000


def kernel_distance(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    """MMD² of features ``[n, d]`` and ``[m, d]``.

    Raises:
        ValueError: a set of fewer than two rows.
    """
    n, m = len(left), len(right)
    if min(n, m) < 2:
        raise ValueError(f"{n} and {m} rows, at least 2 of each are needed")
    a, b = left.astype(np.float64), right.astype(np.float64)
    within = (_kernel_sum(a, a) - _diagonal(a)) / (n * (n - 1)) + (_kernel_sum(b, b) - _diagonal(b)) / (m * (m - 1))
    return within - 2 * _kernel_sum(a, b) / (n * m)


def _kernel_sum(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    starts = watched(range(0, len(a), _CHUNK), "kernel distance")
    return sum(float(((a[start : start + _CHUNK] @ b.T / a.shape[1] + 1) ** 3).sum()) for start in starts)


def _diagonal(a: NDArray[np.float64]) -> float:
    return float(((np.square(a).sum(1) / a.shape[1] + 1) ** 3).sum())
