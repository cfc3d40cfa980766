"""Measures against values worked out by hand, and against the ways of cheating they are there for."""

import numpy as np
import pytest

from trainer.data import DataConfig, DataSplit, LabelledImages, open_data
from trainer.evaluation import EvaluationConfig, Evaluator, draw_samples
from trainer.evaluation.classifier import ImageClassifier
from trainer.evaluation.distances import as_points, mean_pairwise_distance, nearest_distances
from trainer.evaluation.measures import (
    label_accuracy,
    nearest_training_ratio,
    smallest_class_variety,
    synthetic_to_real_accuracy,
)

NAMES = ("a", "b")


def pixels(levels: list[int], labels: list[int]) -> LabelledImages:
    """Images of one pixel."""
    images = np.array(levels, np.uint8).reshape(-1, 1, 1, 1)
    return LabelledImages(images, np.array(labels, np.int64), NAMES)


@pytest.fixture(scope="module")
def digits() -> DataSplit:
    """The built-in digits."""
    return open_data(DataConfig())


def test_points_are_in_zero_to_one() -> None:
    assert as_points(np.array([[0, 51], [255, 102]], np.uint8)).tolist() == pytest.approx(
        np.array([[0, 0.2], [1, 0.4]]), abs=1e-6
    )


def test_mean_pairwise_distance_of_a_triangle() -> None:
    triangle = np.array([[0, 0], [3, 0], [0, 4]], np.float32)
    assert mean_pairwise_distance(triangle) == pytest.approx((3 + 4 + 5) / 3, abs=1e-5)


def test_distances_agree_with_the_plain_computation_over_several_pieces() -> None:
    random = np.random.default_rng(0)
    left, right = random.random((1203, 5), np.float32), random.random((77, 5), np.float32)
    plain = np.linalg.norm(left[:, None] - right[None], axis=2)
    np.testing.assert_allclose(nearest_distances(left, right), plain.min(1), atol=1e-3)
    pairs = np.linalg.norm(left[:, None] - left[None], axis=2)
    assert mean_pairwise_distance(left) == pytest.approx(pairs.sum() / (1203 * 1202), abs=1e-3)


def test_variety_is_that_of_the_poorest_class() -> None:
    real = pixels([0, 100, 0, 100], [0, 0, 1, 1])
    samples = pixels([0, 90, 10, 35], [0, 0, 1, 1])
    assert smallest_class_variety(samples, real) == pytest.approx(0.25, abs=1e-5)


def test_variety_of_clones_is_zero_and_of_single_images_undefined() -> None:
    real = pixels([0, 100, 0, 100], [0, 0, 1, 1])
    assert smallest_class_variety(pixels([5, 5, 7, 7], [0, 0, 1, 1]), real) == pytest.approx(0, abs=1e-4)
    assert smallest_class_variety(pixels([5], [0]), real) is None


def test_nearest_training_ratio() -> None:
    data = DataSplit("x", pixels([0, 100, 200], [0, 0, 1]), pixels([10, 110, 190], [0, 0, 1]))
    assert nearest_training_ratio(pixels([5, 105, 230], [0, 0, 1]), data) == pytest.approx(0.5, abs=1e-4)
    assert nearest_training_ratio(data.train, data) == pytest.approx(0, abs=1e-4)
    assert nearest_training_ratio(data.train, DataSplit("x", data.train, data.train)) is None


def test_real_images_judge_real_images_well(digits: DataSplit) -> None:
    judge = ImageClassifier(digits.train)
    assert label_accuracy(digits.held_out, judge) > 0.97
    wrong = LabelledImages(digits.held_out.images, (digits.held_out.labels + 1) % 10, digits.held_out.class_names)
    assert label_accuracy(wrong, judge) < 0.05
    assert synthetic_to_real_accuracy(digits.train, digits.held_out) > 0.97


def test_evaluator_tells_real_images_clones_and_copies_apart(digits: DataSplit) -> None:
    evaluator = Evaluator(EvaluationConfig(), digits)
    real = evaluator.measure(digits.held_out)
    assert real["nearest_training_ratio"].value == pytest.approx(1.0, abs=1e-6)
    assert real["smallest_class_variety"].value > 0.9
    copies = evaluator.measure(digits.train)
    assert copies["nearest_training_ratio"].value < 0.1
    first = np.array([np.flatnonzero(digits.train.labels == label)[0] for label in range(10)]).repeat(20)
    clones = evaluator.measure(digits.train.subset(first))
    assert clones["label_accuracy"].value > 0.97
    assert clones["smallest_class_variety"].value < 0.01
    assert clones["label_accuracy"].samples == 200
    assert clones["label_accuracy"].real == real["label_accuracy"].value


def test_unlabelled_images_have_no_accuracies() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    everything = LabelledImages(images, np.zeros(60, np.int64), ())
    data = DataSplit("x", everything.subset(np.arange(40)), everything.subset(np.arange(40, 60)))
    assert set(Evaluator(EvaluationConfig(), data).measure(everything)) == {
        "smallest_class_variety",
        "nearest_training_ratio",
    }


def test_samples_are_spread_evenly_and_come_from_the_documented_latents() -> None:
    config = EvaluationConfig(samples=40, first_seed=7)
    seen = []

    def sampler(latents: np.ndarray, labels: np.ndarray) -> np.ndarray:
        seen.append(latents)
        return np.zeros((len(labels), 8, 8, 1), np.uint8)

    samples = draw_samples(config, tuple("abcd"), 6, sampler)
    assert np.bincount(samples.labels).tolist() == [10] * 4
    from runtime.latents import latents_from_seeds, row_seeds

    assert np.array_equal(seen[0], latents_from_seeds(row_seeds(7, 40), 6))
