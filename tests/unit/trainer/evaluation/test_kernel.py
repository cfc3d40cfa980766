"""The kernel distance against loops over all pairs, and on sets with known answers."""

import numpy as np
import pytest

from trainer.evaluation import kernel
from trainer.evaluation.kernel import kernel_distance

RANDOM = np.random.default_rng(0)


def rows(n: int, shift: float = 0.0, dimensions: int = 4) -> np.ndarray:
    return (RANDOM.normal(size=(n, dimensions)) + shift).astype(np.float32)


def test_agrees_with_the_definition_for_sets_of_other_sizes() -> None:
    left, right = rows(7), rows(12, 0.5)

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return float((x.astype(np.float64) @ y.astype(np.float64) / 4 + 1) ** 3)

    within = [
        np.mean([k(part[i], part[j]) for i in range(len(part)) for j in range(len(part)) if i != j])
        for part in (left, right)
    ]
    across = np.mean([k(x, y) for x in left for y in right])
    assert kernel_distance(left, right) == pytest.approx(sum(within) - 2 * across, rel=1e-9)
    assert kernel_distance(left, right) == pytest.approx(kernel_distance(right, left), rel=1e-9)


def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    left, right = rows(53), rows(31, 1.0)
    whole = kernel_distance(left, right)
    monkeypatch.setattr(kernel, "_CHUNK", 7)
    assert kernel_distance(left, right) == pytest.approx(whole, rel=1e-12)


def test_it_is_unbiased() -> None:
    found = [kernel_distance(rows(20), rows(30)) for _ in range(300)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(300)
    assert min(found) < 0 < max(found)


def test_constant_images_and_single_rows() -> None:
    constant = np.full((20, 4), 3, np.float32)
    assert kernel_distance(constant, constant) == pytest.approx(0, abs=1e-9)
    assert kernel_distance(constant, rows(20)) > 1
    with pytest.raises(ValueError, match="1 and 20 rows, at least 2"):
        kernel_distance(constant[:1], constant)
