"""The judge and the comparison: deterministic, kept by fingerprint, and fair to real images."""

import time
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
import torch

from trainer.data import DataConfig, DataSplit, LabelledImages, open_data
from trainer.errors import RunError
from trainer.evaluation import judge as judge_module
from trainer.evaluation.comparison import Comparison, imbalance, judge_classes
from trainer.evaluation.features import PcaFeatures
from trainer.evaluation.judge import Judge, fit_judge, trained_judge


@pytest.fixture(scope="module")
def digits() -> DataSplit:
    """The built-in digits."""
    return open_data(DataConfig())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the judge is kept."""
    return tmp_path_factory.mktemp("judge")


@pytest.fixture(scope="module")
def judge(digits: DataSplit, folder: Path) -> Judge:
    """Trained on the built-in digits."""
    return trained_judge(digits, folder)


def test_it_reads_digits(judge: Judge, digits: DataSplit) -> None:
    assert judge.accuracy(digits.held_out) > 0.96
    assert judge(digits.held_out.images).shape == (359, 64)
    assert judge(digits.held_out.images[:0]).shape == (0, 64)


def test_its_hash_is_that_of_its_weights(judge: Judge, digits: DataSplit, folder: Path) -> None:
    assert judge.sha256 == trained_judge(digits, folder).sha256
    network = judge_module._network(digits.train)
    assert Judge(network).sha256 != judge.sha256


def test_it_is_in_eval_mode_and_looks_at_each_image_by_itself(judge: Judge, digits: DataSplit) -> None:
    assert not judge._network.training
    images = digits.held_out.images[:40]
    alone = np.concatenate([judge(images[i : i + 1]) for i in range(len(images))])
    np.testing.assert_allclose(judge(images), alone, atol=1e-4)


def test_it_is_kept_and_read_again(
    judge: Judge, digits: DataSplit, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge_module, "train_network", None)
    again = trained_judge(digits, folder)
    assert np.array_equal(again(digits.held_out.images), judge(digits.held_out.images))


def test_a_damaged_file_is_named(digits: DataSplit, tmp_path: Path) -> None:
    path = tmp_path / f"judge-{digits.fingerprint()[:16]}.pt"
    path.write_bytes(b"nothing")
    with pytest.raises(RunError, match="not the weights of a judge; remove the file"):
        trained_judge(digits, tmp_path)


def test_training_it_is_deterministic_and_leaves_the_random_sequence_alone(
    digits: DataSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judge_module, "_STEPS_LEAST", 20)
    monkeypatch.setattr(judge_module, "_EPOCHS", 0)
    before = torch.get_rng_state()
    first = fit_judge(digits.train)(digits.held_out.images)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(99)
    assert np.array_equal(first, fit_judge(digits.train)(digits.held_out.images))


def test_the_floor_is_near_and_clones_are_far(judge: Judge, digits: DataSplit) -> None:
    comparison = Comparison(digits.train.images, judge, 300)
    assert comparison.samples == 300
    assert comparison.floor.coverage > 0.9
    real = comparison.compare(digits.held_out.images)
    assert real.frechet < 5 * comparison.floor.frechet
    clones = comparison.compare(digits.train.images[np.arange(300) % 10])
    assert clones.frechet > 10 * comparison.floor.frechet
    assert clones.coverage < 0.2


@pytest.mark.slow
def test_ten_thousand_against_ten_thousand_within_a_minute() -> None:
    """All of a comparison, intervals of generated and of real images included, on two cores."""
    random = np.random.default_rng(0)
    flat = random.integers(0, 256, (30_000, 64, 1, 1), dtype=np.uint8)

    def as_features(images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1).astype(np.float32)

    begun = time.process_time()
    comparison = Comparison(flat[:20_000], as_features, 10_000)
    _, deviations = comparison.compare_with_deviations(flat[20_000:])
    assert comparison.floor_deviations.coverage > 0 and deviations.coverage > 0
    assert time.process_time() - begun < 120  # of both cores together


def test_fewer_images_than_a_neighbourhood_needs_are_refused(digits: DataSplit) -> None:
    with pytest.raises(ValueError, match="11 real images, at least 12 are needed"):
        Comparison(digits.train.images[:11], PcaFeatures(digits.train.images), 10)


@pytest.mark.parametrize("n", [12, 40])
def test_fewer_images_than_dimensions_and_images_that_are_all_alike(n: int, digits: DataSplit) -> None:
    few = Comparison(digits.train.images[:n], PcaFeatures(digits.train.images), n)
    values = astuple(few.compare(digits.held_out.images))
    assert np.isfinite(values).all()
    alike = np.full((n, 8, 8, 1), 5, np.uint8)
    constant = Comparison(alike, PcaFeatures(alike), n).compare(alike)
    assert constant.frechet == pytest.approx(0, abs=1e-9)
    assert constant.kernel == pytest.approx(0, abs=1e-9)


def test_principal_components_need_no_labels(digits: DataSplit) -> None:
    comparison = Comparison(digits.train.images, PcaFeatures(digits.train.images), 10_000)
    assert comparison.samples == len(digits.train) // 2
    assert comparison.floor.precision > 0.8


def test_classes_of_real_images(judge: Judge, digits: DataSplit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_module, "_STEPS_LEAST", 300)
    monkeypatch.setattr(judge_module, "_EPOCHS", 0)
    found = judge_classes(digits.train, digits, judge)
    assert found.accuracy is not None and found.accuracy > 0.97
    assert found.student is not None and found.student > 0.9
    assert found.imbalance < 0.1
    unlabelled = LabelledImages(digits.train.images, np.zeros(len(digits.train), np.int64), ())
    found = judge_classes(unlabelled, digits, judge)
    assert (found.accuracy, found.student) == (None, None)


def test_imbalance_is_that_of_the_worst_class() -> None:
    assert imbalance(np.array([0, 0, 0, 1]), [0.5, 0.5]) == pytest.approx(0.5)
    assert imbalance(np.array([0, 1]), [0.5, 0.5]) == 0
    assert imbalance(np.array([0, 0]), [0.5, 0.5]) == 1
