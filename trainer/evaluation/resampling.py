"""95 % intervals by resampling, seeded: how far a number would move if other images had been drawn.

Both schemes estimate the standard deviation of a number, and its interval is value ± 1.96 of them, cut to the
measure's range.

- Means, shares, medians: the bootstrap (Efron 1979), rows drawn with replacement.
- Distances of distributions and what hangs on nearest neighbours: subsampling (Politis & Romano 1994), rows drawn
  *without* replacement, a share f of each set, because a row drawn twice is its own nearest neighbour and a covariance
  of repeated rows is biased. Deviations of such subsamples are √((1 − f) / f) times those of the whole sets where a
  number's error falls as 1/√n. Where it falls faster, as that of a Fréchet distance close to its floor, the interval
  is too wide rather than too narrow.

Neither knows of what is not drawn again: the training of the generator, or of a classifier.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Interval
from trainer.progress import watched

SCHEME = (
    "Intervals: value ± 1.96 standard deviations, of bootstrap resamples for means, shares and medians, of subsamples "
    "without replacement for distances of distributions and what hangs on neighbours; seeded. They know nothing of "
    "another training."
)
"""In a few words, for a report."""

Rows = NDArray[np.int64]
SUBSAMPLES = 50
"""How many subsamples decide a deviation."""

_BOOTSTRAPS = 200
_SUBSAMPLE_ROWS = 2_000
_WIDTH = 1.96


def interval(value: float, deviation: float, low: float = -np.inf, high: float = np.inf) -> Interval:
    """95 % around `value`, within the range from `low` to `high`."""
    return max(low, value - _WIDTH * deviation), min(high, value + _WIDTH * deviation)


def bootstrap_deviation(statistic: Callable[..., float], *sets: NDArray[Any], seed: int = 0) -> float:
    """Standard deviation of ``statistic(*sets)`` when the rows of each set are drawn with replacement."""
    random = np.random.default_rng(seed)
    found = [statistic(*(rows[random.integers(0, len(rows), len(rows))] for rows in sets)) for _ in range(_BOOTSTRAPS)]
    return float(np.std(found, ddof=1))


def subsampled_deviation(
    statistic: Callable[..., NDArray[np.float64]], *sizes: int, least: int = 2, draws: int = SUBSAMPLES, seed: int = 0
) -> NDArray[np.float64]:
    """Standard deviations of the numbers ``[k]`` that `statistic` makes of some rows of each set.

    Args:
        statistic: gets one array of row numbers per set, in random order.
        sizes: rows of each set.
        least: rows of each set that `statistic` needs.
        draws: subsamples; the deviation itself is known to about 1/√(2 · draws).

    Returns:
        ``[k]``; NaN where the sets are too small to be parted.
    """
    share = min(0.5, _SUBSAMPLE_ROWS / min(sizes))
    counts = [max(1, round(share * size)) for size in sizes]
    random = np.random.default_rng(seed)
    if min(counts) < least:
        rows = [random.permutation(size) for size in sizes]
        return np.full_like(statistic(*rows), np.nan)
    found = [
        statistic(*(random.permutation(size)[:count] for size, count in zip(sizes, counts, strict=True)))
        for _ in watched(range(draws), "intervals")
    ]
    spread: NDArray[np.float64] = np.std(found, axis=0, ddof=1) * np.sqrt(share / (1 - share))
    return spread
