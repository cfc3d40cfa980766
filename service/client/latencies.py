"""Latencies of a load test: percentiles, and a histogram on a logarithmic scale."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
_PER_DECADE = 20


@dataclass(frozen=True)
class Histogram:
    """Counts between edges, in seconds; the edges grow by the 20th root of ten (12 %).

    Attributes:
        edges: one more than counts.
    """

    edges: list[float]
    counts: list[int]


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """``p50`` … ``p99.9``, ``mean`` and ``max``, in seconds; empty where there is nothing."""
    if not len(seconds):
        return {}
    found = np.percentile(np.asarray(seconds), PERCENTILES, method="inverted_cdf")
    named = {f"p{rank:g}": float(value) for rank, value in zip(PERCENTILES, found, strict=True)}
    return {**named, "mean": float(np.mean(seconds)), "max": float(np.max(seconds))}


def histogram(seconds: Sequence[float]) -> Histogram:
    """Every latency in one of the buckets between the smallest and the largest."""
    if not len(seconds):
        return Histogram([], [])
    values = np.log10(np.maximum(np.asarray(seconds), 1e-6)) * _PER_DECADE
    first, last = math.floor(values.min()), math.floor(values.max()) + 1
    counts, _ = np.histogram(values, bins=np.arange(first, last + 1))
    return Histogram([10 ** (step / _PER_DECADE) for step in range(first, last + 1)], counts.tolist())


def text_histogram(found: Histogram, *, width: int = 40, rows: int = 16) -> str:
    """A line per bucket, neighbours merged so that there are at most `rows`."""
    if not found.counts:
        return ""
    merge = -(-len(found.counts) // rows)
    lines = []
    sums = [sum(found.counts[start : start + merge]) for start in range(0, len(found.counts), merge)]
    for index, count in enumerate(sums):
        upper = found.edges[min((index + 1) * merge, len(found.counts))]
        bar = "█" * round(width * count / max(sums)) or ("▏" if count else "")
        lines.append(f"  ≤ {duration(upper):>9}  {bar} {count}")
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Three figures with their unit: 870 µs, 1.23 ms, 4.5 s."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
