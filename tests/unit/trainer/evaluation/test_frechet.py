"""The Fréchet distance against closed forms and against the formula with an explicit matrix square root."""

import numpy as np
import pytest
from scipy.linalg import sqrtm

from trainer.evaluation.frechet import Gaussian, fit_gaussian, frechet_distance

RANDOM = np.random.default_rng(0)


def explicit(left: Gaussian, right: Gaussian) -> float:
    """|μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁ Σ₂)^½), as it is written."""
    root = np.real(sqrtm(left.covariance @ right.covariance))
    difference = left.mean - right.mean
    return float(difference @ difference + np.trace(left.covariance + right.covariance - 2 * root))


@pytest.mark.parametrize("dimensions", [1, 3, 40])
def test_agrees_with_the_matrix_square_root(dimensions: int) -> None:
    mixing = RANDOM.normal(size=(dimensions, dimensions))
    left = fit_gaussian((RANDOM.normal(size=(500, dimensions)) @ mixing).astype(np.float32))
    right = fit_gaussian((RANDOM.normal(size=(400, dimensions)) + 0.3).astype(np.float32))
    assert frechet_distance(left, right) == pytest.approx(explicit(left, right), rel=1e-6)
    assert frechet_distance(left, right) == pytest.approx(frechet_distance(right, left), rel=1e-6)


def test_of_two_normal_distributions_by_hand() -> None:
    left = Gaussian(np.array([1.0]), np.array([[4.0]]))
    right = Gaussian(np.array([4.0]), np.array([[9.0]]))
    assert frechet_distance(left, right) == pytest.approx(3**2 + (2 - 3) ** 2, abs=1e-9)


def test_of_a_set_to_itself_is_zero() -> None:
    rows = RANDOM.normal(size=(50, 8)).astype(np.float32)
    assert frechet_distance(fit_gaussian(rows), fit_gaussian(rows)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_fewer_rows_than_dimensions_and_constants_are_fine(n: int) -> None:
    few = fit_gaussian(RANDOM.normal(size=(n, 20)).astype(np.float32))
    constant = fit_gaussian(np.ones((30, 20), np.float32))
    expected = np.square(few.mean - constant.mean).sum() + np.trace(few.covariance)
    assert frechet_distance(few, constant) == pytest.approx(expected, rel=1e-6)


def test_the_covariance_is_numpys() -> None:
    rows = RANDOM.normal(size=(30, 4)).astype(np.float32)
    np.testing.assert_allclose(fit_gaussian(rows).covariance, np.cov(rows.astype(np.float64), rowvar=False), atol=1e-12)
