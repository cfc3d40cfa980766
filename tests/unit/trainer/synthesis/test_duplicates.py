"""Copies and near copies are found; new images of the same kind are left alone."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from trainer.data import DataConfig, DataSplit, open_data
from trainer.synthesis.duplicates import DuplicateFilter, calibrated_filter, nearest_levels

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def digits() -> DataSplit:
    return open_data(DataConfig())


def made(digits: DataSplit, folder: Path, quantile: float = 0.01) -> DuplicateFilter:
    """The filter of the built-in digits."""
    return calibrated_filter(digits, "digits", quantile, folder, digits.fingerprint())


@pytest.mark.parametrize("shape", [(5, 4, 1), (6, 6, 3), (3, 5, 4, 1)])
@pytest.mark.parametrize("count", [1, 7, 3000])
def test_nearest_levels_are_those_of_all_pairs(shape: tuple[int, ...], count: int) -> None:
    images = RANDOM.integers(0, 256, (9, *shape), dtype=np.uint8)
    references = RANDOM.integers(0, 256, (count, *shape), dtype=np.uint8)
    difference = images[:, None].astype(float) - references[None]
    every = np.sqrt(np.square(difference).reshape(9, count, -1).mean(-1))
    assert nearest_levels(images, references) == pytest.approx(every.min(1), abs=1e-9)


def test_distances_of_large_images_are_exact() -> None:
    references = RANDOM.integers(200, 256, (50, 128, 128, 3), dtype=np.uint8)
    images = references[::-1].copy()
    images[3, 0, 0, 0] -= 1
    found = nearest_levels(images, references)
    assert found[3] == pytest.approx(1 / np.sqrt(128 * 128 * 3), rel=1e-12)
    assert not np.delete(found, 3).any()


def test_no_images_have_no_distances() -> None:
    assert nearest_levels(np.zeros((0, 8, 8, 1), np.uint8), np.zeros((3, 8, 8, 1), np.uint8)).shape == (0,)


def test_copies_and_near_copies_are_dropped(digits: DataSplit, tmp_path: Path) -> None:
    judge = made(digits, tmp_path)
    copies = digits.train.images[:200]
    noisy = np.clip(copies.astype(int) + RANDOM.integers(-8, 9, copies.shape), 0, 255).astype(np.uint8)
    assert not judge(copies, None).any()
    assert not judge(noisy, None).any()


def test_as_many_new_real_images_are_dropped_as_the_quantile_says(digits: DataSplit, tmp_path: Path) -> None:
    for quantile in (0.01, 0.1):
        dropped = 1 - made(digits, tmp_path, quantile)(digits.held_out.images, None).mean()
        assert dropped == pytest.approx(quantile, abs=2 / len(digits.held_out))


def test_quantile_0_drops_exact_copies_alone(digits: DataSplit, tmp_path: Path) -> None:
    judge = made(digits, tmp_path, quantile=0)
    images = digits.train.images[:50].copy()
    images[::2, 0, 0, 0] ^= 1
    assert judge(images, None).tolist() == [True, False] * 25


def test_it_travels_to_another_process_without_its_images(digits: DataSplit, tmp_path: Path) -> None:
    judge = made(digits, tmp_path)
    expected = judge(digits.held_out.images, None)
    sent = pickle.dumps(judge)
    assert len(sent) < 2_000
    assert np.array_equal(pickle.loads(sent)(digits.held_out.images, None), expected)  # noqa: S301 - our own


def test_it_says_what_it_compared_with(digits: DataSplit, tmp_path: Path) -> None:
    judge = made(digits, tmp_path)
    assert judge.describe() == {
        "data": "digits",
        "fingerprint": digits.fingerprint(),
        "is_training_set": True,
        "images": len(digits.train),
        "quantile": 0.01,
        "held_out_images": len(digits.held_out),
        "held_out_median_levels": pytest.approx(32.9, abs=1),
        "threshold_levels": judge.threshold,
    }
    assert 10 < judge.threshold < 30
    assert not calibrated_filter(digits, "digits", 0.01, tmp_path, "0" * 64).describe()["is_training_set"]
