"""Deviations by resampling against those of numbers that are drawn anew again and again."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.evaluation.frechet import fit_gaussian, frechet_distance
from trainer.evaluation.neighbours import neighbourhood
from trainer.evaluation.resampling import Rows, bootstrap_deviation, interval, subsampled_deviation


def test_the_bootstrap_of_a_mean() -> None:
    values = np.random.default_rng(0).normal(size=400)
    expected = values.std() / np.sqrt(400)
    assert bootstrap_deviation(np.mean, values) == pytest.approx(expected, rel=0.2)
    assert bootstrap_deviation(np.mean, values) == bootstrap_deviation(np.mean, values)
    assert bootstrap_deviation(np.mean, values, seed=1) != bootstrap_deviation(np.mean, values)


@pytest.mark.parametrize("n", [400, 20_000], ids=["halves", "a tenth"])
def test_subsamples_of_a_difference_of_means(n: int) -> None:
    random = np.random.default_rng(1)
    left, right = random.normal(size=n), 3 * random.normal(size=n)

    def difference(ours: Rows, theirs: Rows) -> NDArray[np.float64]:
        return np.array([left[ours].mean() - right[theirs].mean()])

    expected = np.sqrt((1 + 9) / n)
    assert subsampled_deviation(difference, n, n, draws=200).item() == pytest.approx(expected, rel=0.2)


def test_it_foresees_how_other_draws_of_images_would_differ() -> None:
    """Of a Fréchet distance and a coverage: two thirds to one and a half of what they really vary by."""
    n, draws = 300, 40

    def numbers(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float64]:
        distance = frechet_distance(fit_gaussian(left), fit_gaussian(right))
        return np.array([distance, neighbourhood(left, right).coverage])

    random = np.random.default_rng(2)
    found, foreseen = [], []
    for draw in range(draws):
        left = random.normal(size=(n, 6)).astype(np.float32)
        right = (0.7 * random.normal(size=(n, 6)) + 0.5).astype(np.float32)
        found.append(numbers(left, right))
        if draw < 4:
            resampled = subsampled_deviation(
                lambda ours, theirs, left=left, right=right: numbers(left[ours], right[theirs]), n, n, least=6
            )
            foreseen.append(resampled)
    ratio = np.mean(foreseen, axis=0) / np.std(found, axis=0)
    assert (ratio > 2 / 3).all() and (ratio < 3 / 2).all(), ratio


def test_sets_too_small_to_be_parted_have_no_deviation() -> None:
    found = subsampled_deviation(lambda _ours, _theirs: np.zeros(3), 9, 9, least=6)
    assert np.isnan(found).tolist() == [True] * 3


def test_intervals_stay_in_range() -> None:
    assert interval(0.5, 0.1) == pytest.approx((0.304, 0.696))
    assert interval(0.99, 0.1, 0, 1) == pytest.approx((0.794, 1))
