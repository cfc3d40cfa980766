"""Measures of sequences against closed forms."""

import numpy as np
import pytest
from numpy.typing import NDArray

from trainer.data import DataConfig, open_data
from trainer.data.moving_digits import MovingDigitsConfig
from trainer.evaluation.sequences import (
    centres,
    frame_frechet_distance,
    motion,
    motion_amount,
    motion_smoothness,
)


@pytest.fixture(scope="module")
def real() -> NDArray[np.uint8]:
    return open_data(DataConfig(moving=MovingDigitsConfig(sequences=120))).train.images


def dot(rows: list[float], columns: list[float], side: int = 8) -> NDArray[np.uint8]:
    """One sequence of a bright pixel at the places given."""
    frames = np.zeros((1, len(rows), side, side, 1), np.uint8)
    for moment, (row, column) in enumerate(zip(rows, columns, strict=True)):
        frames[0, moment, int(row), int(column)] = 255
    return frames


def test_frames_that_differ_by_a_constant_are_apart_by_its_square(real: NDArray[np.uint8]) -> None:
    grey = np.random.default_rng(0).integers(0, 100, (20, 4, 6, 6, 1), dtype=np.uint8)
    assert frame_frechet_distance(grey, grey) == pytest.approx(0, abs=1e-6)
    assert frame_frechet_distance(grey + 51, grey) == pytest.approx(36 * 0.2**2, abs=1e-4)
    assert frame_frechet_distance(255 - real, real) > 100


def test_large_frames_are_averaged_over_blocks() -> None:
    grey = np.random.default_rng(0).integers(0, 100, (20, 4, 10, 10, 1), dtype=np.uint8)
    large = grey.repeat(5, axis=2).repeat(5, axis=3)  # 50 × 50: blocks of 3 cover 48, not the same ones
    assert frame_frechet_distance(large + 51, large) == pytest.approx(16**2 * 0.2**2, abs=1e-3)


def test_the_order_of_frames_does_not_change_their_distance(real: NDArray[np.uint8]) -> None:
    assert frame_frechet_distance(real[:, ::-1], real) == pytest.approx(0, abs=1e-6)


def test_motion_is_the_root_mean_square_change() -> None:
    frames = np.zeros((1, 3, 2, 2, 1), np.uint8)
    frames[0, 1] = 255
    frames[0, 2] = 255
    assert motion(frames).tolist() == [[1.0, 0.0]]


def test_centres_follow_the_brightness() -> None:
    assert np.allclose(centres(dot([1, 2], [3, 5]))[0], [[1, 3], [2, 5]], atol=1e-3)
    assert np.allclose(centres(np.zeros((1, 1, 5, 5, 1), np.uint8)), 2)


def test_real_sequences_are_as_lively_and_smooth_as_themselves(real: NDArray[np.uint8]) -> None:
    assert motion_amount(real, real) == 1
    assert motion_smoothness(real, real) == 1


def test_still_sequences_have_no_motion(real: NDArray[np.uint8]) -> None:
    still = real[:, :1].repeat(16, axis=1)
    assert motion_amount(still, real) == 0
    assert motion_smoothness(still, real) == 0


def test_shuffled_frames_are_jerky(real: NDArray[np.uint8]) -> None:
    shuffled = real[:, np.random.default_rng(0).permutation(16)]
    assert motion_smoothness(shuffled, real) < 0.8


def test_smoothness_of_a_straight_and_of_a_jerky_path() -> None:
    straight, jerky = dot([1, 2, 3, 4], [4] * 4), dot([1, 4, 1, 4], [4] * 4)
    # Straight: no acceleration, so 1. Jerky: speed 3, change of velocity 6 per frame, so 3 / (3 + 6).
    assert motion_smoothness(jerky, straight) == pytest.approx(1 / 3, abs=1e-3)
