"""Measures against values worked out by hand, and against the ways of cheating they are there for."""

from pathlib import Path

import numpy as np
import pytest

from trainer.data import DataConfig, DataSplit, LabelledImages, open_data
from trainer.evaluation import Evaluation, EvaluationConfig, Evaluator, draw_samples
from trainer.evaluation.catalogue import CATALOGUE
from trainer.evaluation.classifier import ImageClassifier
from trainer.evaluation.distances import as_points, mean_pairwise_distance
from trainer.evaluation.feature_choice import open_eyes
from trainer.evaluation.measures import joined, ratio_of_medians, recognised, smallest_class_variety

NAMES = ("a", "b")
LIKENESS = {"frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage"}
PIXELS = {
    "smallest_class_variety",
    "nearest_training_ratio",
    "nearer_to_training",
    "near_copies",
    "exact_copies",
}


def evaluator(data: DataSplit, config: EvaluationConfig) -> Evaluator:
    """That looks at pixels."""
    return Evaluator(config, data, open_eyes("pixels", data, Path("unused"), config.real_images))


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


def test_mean_distance_agrees_with_the_plain_computation_over_several_pieces() -> None:
    points = np.random.default_rng(0).random((1203, 5), np.float32)
    pairs = np.linalg.norm(points[:, None] - points[None], axis=2)
    assert mean_pairwise_distance(points) == pytest.approx(pairs.sum() / (1203 * 1202), abs=1e-3)


def test_variety_is_that_of_the_poorest_class() -> None:
    real = pixels([0, 100, 0, 100], [0, 0, 1, 1])
    samples = pixels([0, 90, 10, 35], [0, 0, 1, 1])
    assert smallest_class_variety(samples, real) == pytest.approx(0.25, abs=1e-5)


def test_variety_of_clones_is_zero_and_of_single_images_undefined() -> None:
    real = pixels([0, 100, 0, 100], [0, 0, 1, 1])
    assert smallest_class_variety(pixels([5, 5, 7, 7], [0, 0, 1, 1]), real) == pytest.approx(0, abs=1e-4)
    assert smallest_class_variety(pixels([5], [0]), real) is None


def test_ratio_of_medians() -> None:
    ours, theirs = np.array([1, 2, 9], np.float32), np.array([4, 4, 5], np.float32)
    assert ratio_of_medians(ours, theirs) == 0.5
    assert np.isnan(ratio_of_medians(ours, np.zeros(3, np.float32)))


def test_real_images_judge_real_images_well(digits: DataSplit) -> None:
    reader = ImageClassifier(digits.train)
    assert recognised(digits.held_out, reader).mean() > 0.97
    wrong = LabelledImages(digits.held_out.images, (digits.held_out.labels + 1) % 10, digits.held_out.class_names)
    assert recognised(wrong, reader).mean() < 0.05
    assert reader.predict(digits.held_out.images[:0]).shape == (0,)
    both = joined(digits.train, digits.held_out)
    assert len(both) == len(both.labels) == len(digits.train) + len(digits.held_out)


@pytest.fixture(scope="module")
def found(digits: DataSplit) -> dict[str, Evaluation]:
    """Of real images, of copies, and of clones: one image of each class again and again."""
    measuring = evaluator(digits, EvaluationConfig(samples=300))
    first = np.array([np.flatnonzero(digits.train.labels == label)[0] for label in range(10)]).repeat(20)
    return {
        "real": measuring.measure(digits.held_out.at_most(300)),
        "copies": measuring.measure(digits.train.at_most(300)),
        "clones": measuring.measure(digits.train.subset(first)),
    }


def test_real_images_score_as_their_floor(found: dict[str, Evaluation]) -> None:
    real = found["real"].measures
    assert real["nearest_training_ratio"].value == pytest.approx(1.0, abs=1e-6)
    assert real["label_accuracy"].value == real["label_accuracy"].real
    assert real["smallest_class_variety"].value > 0.85
    assert real["coverage"].value > 0.85
    assert real["modes"].value == 10
    assert found["real"].copying == []


def test_copies_are_found_out(found: dict[str, Evaluation]) -> None:
    assert found["copies"].measures["nearest_training_ratio"].value == 0
    assert found["copies"].measures["exact_copies"].value == 1
    assert len(found["copies"].copying) >= 2


def test_clones_are_found_out(found: dict[str, Evaluation]) -> None:
    clones = found["clones"].measures
    assert clones["label_accuracy"].value > 0.97
    assert clones["smallest_class_variety"].value < 0.01
    assert clones["coverage"].value < 0.2
    assert clones["label_accuracy"].samples == 200


def test_every_measure_has_counts_an_interval_and_a_floor(found: dict[str, Evaluation]) -> None:
    for name, each in found["real"].measures.items():
        assert each.samples in (300, 299), name
        assert each.real_samples and each.by, name
        assert each.real is not None, name
        assert each.interval is not None and each.interval[0] <= each.value <= each.interval[1], name
        assert CATALOGUE[name].low <= each.interval[0] <= each.interval[1] <= CATALOGUE[name].high, name


def test_each_class_has_a_row(found: dict[str, Evaluation]) -> None:
    rows = found["clones"].classes
    assert [row.name for row in rows] == [str(digit) for digit in range(10)]
    assert all(row.samples == 20 and row.recognised > 0.9 for row in rows)
    assert max(row.variety or 0 for row in rows) < 0.01
    assert all((row.real_recognised or 0) > 0.85 for row in rows)


def test_unlabelled_images_have_no_classes() -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (60, 8, 8, 1), dtype=np.uint8)
    everything = LabelledImages(images, np.zeros(60, np.int64), ())
    data = DataSplit("x", everything.subset(np.arange(40)), everything.subset(np.arange(40, 60)))
    assert set(evaluator(data, EvaluationConfig(samples=20)).measure(everything.at_most(20)).measures) == (
        LIKENESS | PIXELS
    )


def test_a_generator_without_labels_has_modes_but_no_accuracy(digits: DataSplit) -> None:
    measures = (
        evaluator(digits, EvaluationConfig(samples=60)).measure(digits.held_out.at_most(60).unlabelled()).measures
    )
    assert set(measures) == LIKENESS | PIXELS | {"modes", "modes_divergence"}


@pytest.mark.parametrize("n", [2, 5, 12])
def test_sets_of_a_few_images_that_are_all_alike(n: int) -> None:
    alike = LabelledImages(np.full((n, 5, 5, 1), 7, np.uint8), np.zeros(n, np.int64), ())
    measures = evaluator(DataSplit("x", alike, alike), EvaluationConfig(samples=20)).measure(alike).measures
    assert measures["exact_copies"].value == 1
    assert measures["exact_copies"].real == 1
    assert ("frechet_distance" in measures) == (n >= 12)
    if n >= 12:
        assert measures["frechet_distance"].value == pytest.approx(0, abs=1e-9)


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
