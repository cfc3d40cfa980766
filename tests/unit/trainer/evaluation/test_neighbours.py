"""Precision, recall, density and coverage against loops over all pairs, and on sets with known answers."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.evaluation import neighbours
from trainer.evaluation.neighbours import Neighbourhood, neighbourhood

RANDOM = np.random.default_rng(0)


def brute_force(real: NDArray[np.float32], generated: NDArray[np.float32], k: int) -> Neighbourhood:
    """The definitions, one pair at a time."""

    def distance(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
        return float(np.linalg.norm(a.astype(np.float64) - b.astype(np.float64)))

    def radius(row: int, rows: NDArray[np.float32]) -> float:
        return sorted(distance(rows[row], rows[other]) for other in range(len(rows)) if other != row)[k - 1]

    real_radii = [radius(row, real) for row in range(len(real))]
    generated_radii = [radius(row, generated) for row in range(len(generated))]
    inside = [[distance(r, g) < real_radii[i] for g in generated] for i, r in enumerate(real)]
    recalled = [[distance(r, g) < generated_radii[j] for j, g in enumerate(generated)] for r in real]
    columns = list(zip(*inside, strict=True))
    return Neighbourhood(
        precision=sum(map(any, columns)) / len(generated),
        recall=sum(map(any, recalled)) / len(real),
        density=sum(map(sum, columns)) / (k * len(generated)),
        coverage=sum(map(any, inside)) / len(real),
    )


@pytest.mark.parametrize(("n", "m", "k", "shift"), [(40, 40, 5, 0.0), (57, 23, 3, 0.7), (12, 60, 1, 1.5)])
def test_agrees_with_the_definitions(n: int, m: int, k: int, shift: float) -> None:
    real = RANDOM.normal(size=(n, 4)).astype(np.float32)
    generated = (RANDOM.normal(size=(m, 4)) + shift).astype(np.float32)
    ours, plain = neighbourhood(real, generated, k), brute_force(real, generated, k)
    for measure in ("precision", "recall", "density", "coverage"):
        assert getattr(ours, measure) == pytest.approx(getattr(plain, measure), rel=1e-9), measure


def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    real, generated = (RANDOM.normal(size=(103, 6)).astype(np.float32) for _ in range(2))
    whole = neighbourhood(real, generated)
    monkeypatch.setattr(neighbours, "_CHUNK", 7)
    assert neighbourhood(real, generated) == whole


def test_far_away_is_zero_and_more_of_the_same_is_about_one() -> None:
    real, same = (RANDOM.normal(size=(1000, 5)).astype(np.float32) for _ in range(2))
    far = neighbourhood(real, same + np.float32(1000))
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)
    near = neighbourhood(real, same)
    assert near.density == pytest.approx(1, abs=0.1)
    assert min(near.precision, near.recall, near.coverage) > 0.9


def test_clones_of_one_image_are_precise_and_cover_nothing() -> None:
    real = RANDOM.normal(size=(500, 5)).astype(np.float32)
    clones = np.repeat(real[:1], 500, axis=0)
    found = neighbourhood(real, clones)
    assert found.precision == 1
    assert found.recall == 0
    assert found.coverage < 0.1


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="5 real and 9 generated rows, more than 5 of each"):
        neighbourhood(np.zeros((5, 2), np.float32), np.zeros((9, 2), np.float32))
