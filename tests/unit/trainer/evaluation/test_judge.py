"""The judge and the comparison: deterministic, kept by fingerprint, and fair to real images."""

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
