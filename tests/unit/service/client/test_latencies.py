"""Percentiles and the logarithmic histogram of a load test."""

import numpy as np
import pytest

from service.client.latencies import duration, histogram, percentiles, text_histogram


def test_percentiles_are_latencies_that_were_seen() -> None:
    found = percentiles([index / 1000 for index in range(1, 1001)])
    assert found == pytest.approx(
        {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "mean": 0.5005, "max": 1.0}, abs=0.0011
    )
    assert percentiles([]) == {}


def test_every_latency_is_in_its_bucket() -> None:
    seconds = np.random.default_rng(0).lognormal(-5, 1, 3000).tolist()
    found = histogram(seconds)
    assert sum(found.counts) == 3000
    assert len(found.edges) == len(found.counts) + 1
    assert found.counts[0] > 0 < found.counts[-1]
    expected, _ = np.histogram(seconds, found.edges)
    assert np.abs(expected - found.counts).max() <= 1, "up to rounding at an edge"
    assert np.allclose(np.diff(np.log10(found.edges)), 1 / 20)


@pytest.mark.parametrize("seconds", [[], [0.01], [0.0], [0.01] * 5, [1e-6, 100.0]])
def test_few_latencies_are_no_trouble(seconds: list[float]) -> None:
    assert sum(histogram(seconds).counts) == len(seconds)
    assert len(text_histogram(histogram(seconds)).splitlines()) <= 16


def test_the_text_has_a_bar_for_what_is_there() -> None:
    text = text_histogram(histogram([0.001] * 90 + [0.1] * 10))
    first, last = text.splitlines()[0], text.splitlines()[-1]
    assert first.count("█") == 40
    assert first.endswith(" 90")
    assert last.endswith(" 10")


@pytest.mark.parametrize(
    ("seconds", "text"), [(2e-6, "2 µs"), (0.00087, "870 µs"), (0.001234, "1.23 ms"), (4.5, "4.5 s"), (120.0, "120 s")]
)
def test_durations_have_three_figures_and_a_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text
