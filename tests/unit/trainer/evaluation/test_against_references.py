"""Fréchet, kernel distance and PRDC against other people's code on the same features: torchmetrics and prdc."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from prdc import compute_prdc
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from trainer.evaluation.frechet import fit_gaussian, frechet_distance
from trainer.evaluation.kernel import kernel_distance
from trainer.evaluation.neighbours import neighbourhood

Features = NDArray[np.float32]
SIZES = [(300, 64), (300, 5), (60, 100)]
"""Rows and dimensions; of the last there are fewer rows than dimensions."""


def features(rows: int, dimensions: int) -> tuple[Features, Features]:
    """Correlated, shifted, and cut off below as a network's are."""
    random = np.random.default_rng(rows + dimensions)
    mixing = random.normal(size=(dimensions, dimensions)) / np.sqrt(dimensions)
    left = np.maximum(random.normal(size=(rows, dimensions)) @ mixing, 0).astype(np.float32)
    right = np.maximum(random.normal(size=(rows, dimensions)) + 0.2, 0).astype(np.float32)
    return left, right


@pytest.mark.parametrize(("rows", "dimensions"), SIZES)
def test_frechet_distance(rows: int, dimensions: int) -> None:
    left, right = features(rows, dimensions)
    moments = [torch.from_numpy(part.astype(np.float64)) for part in (left, right)]
    given = [moment for part in moments for moment in (part.mean(0), torch.cov(part.T))]
    ours = frechet_distance(fit_gaussian(left), fit_gaussian(right))
    assert ours == pytest.approx(float(_compute_fid(*given)), rel=1e-5)


@pytest.mark.parametrize(("rows", "dimensions"), SIZES)
def test_kernel_distance(rows: int, dimensions: int) -> None:
    left, right = features(rows, dimensions)
    theirs = poly_mmd(torch.from_numpy(left.astype(np.float64)), torch.from_numpy(right.astype(np.float64)))
    assert kernel_distance(left, right) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize(("rows", "dimensions"), SIZES)
@pytest.mark.parametrize("k", [3, 5])
def test_precision_recall_density_coverage(rows: int, dimensions: int, k: int) -> None:
    left, right = features(rows, dimensions)
    ours, theirs = neighbourhood(left, right, k), compute_prdc(left, right, k)
    for measure, value in theirs.items():
        assert getattr(ours, measure) == pytest.approx(value, rel=1e-5), measure
    assert ours.coverage > 0
