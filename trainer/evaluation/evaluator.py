"""The evaluation: every measure that data and samples allow, with its interval and what real images score."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Interval, Measurement
from trainer.data.images import DataSplit, LabelledImages
from trainer.evaluation.catalogue import CATALOGUE
from trainer.evaluation.classifier import Classifier
from trainer.evaluation.comparison import LEAST, Comparison
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.feature_choice import Eyes
from trainer.evaluation.measures import joined, ratio_of_medians, recognised, smallest_class_variety
from trainer.evaluation.memorisation import Closeness, Memory, signs_of_copying
from trainer.evaluation.modes import count_modes
from trainer.evaluation.per_class import ClassRow, class_rows
from trainer.evaluation.resampling import Rows, bootstrap_deviation, interval, subsampled_deviation
from trainer.evaluation.sequences import frame_frechet_distance, motion_amount, motion_smoothness

Named = tuple[str, Measurement]
_LIKENESS = {"frechet": "frechet_distance", "kernel": "kernel_distance"}
_FOR_PAIRS = 5_000  # images at most whose pairwise distances are taken
_LEAST_OF_MOTION = 4


@dataclass(frozen=True)
class Evaluation:
    """What is known of one set of samples.

    Attributes:
        measures: by name, see `trainer.evaluation.catalogue`.
        classes: empty where the generator takes no labels or the data have none.
        closeness: of the samples to the training images.
        copying: signs of it, in sentences; none for a generator that does not copy.
        near_is_below: distance below which a copy counts as near.
    """

    samples: LabelledImages
    measures: dict[str, Measurement]
    classes: list[ClassRow]
    closeness: Closeness
    copying: list[str]
    near_is_below: float


class Evaluator:
    """The real side of every measure, computed once, for the samples of any number of precisions."""

    def __init__(self, config: EvaluationConfig, data: DataSplit, eyes: Eyes) -> None:
        self._config, self._eyes = config, eyes
        self.data = DataSplit(
            data.source, data.train.at_most(config.nearest_images), data.held_out.at_most(config.samples)
        )
        self._pairs = data.train.at_most(min(config.real_images, _FOR_PAIRS))
        self._memory = Memory(self.data)

    def measure(self, samples: LabelledImages) -> Evaluation:
        """Every measure that data and samples allow; without labels there is no accuracy."""
        closeness = self._memory.closeness(samples.images)
        copying = dict(self._memorisation(closeness))
        measures = {
            **dict(self._likeness(samples.images)),
            **dict(self._diversity(samples)),
            **copying,
            **dict(self._motion(samples.images)),
        }
        rows: list[ClassRow] = []
        if self._eyes.reader is not None:
            read_as = self._eyes.reader.predict(samples.images)
            measures |= dict(self._classes(samples, read_as))
            if samples.class_names:
                measures |= dict(self._usefulness(samples))
                rows = class_rows(samples, read_as, self.data.held_out, self._read_held_out, self._pairs)
        order = {name: index for index, name in enumerate(CATALOGUE)}
        found = dict(sorted(measures.items(), key=lambda item: order[item[0]]))
        return Evaluation(samples, found, rows, closeness, _signs(copying), self._memory.threshold)

    @cached_property
    def _comparison(self) -> Comparison | None:
        """None for too few training images."""
        if len(self.data.train) < 2 * LEAST:
            return None
        return Comparison(self.data.train.images, self._eyes.features, self._config.samples)

    @cached_property
    def _read_held_out(self) -> NDArray[np.int64]:
        assert self._eyes.reader is not None
        return self._eyes.reader.predict(self.data.held_out.images)

    def _likeness(self, images: NDArray[np.uint8]) -> Iterator[Named]:
        comparison = self._comparison
        if comparison is None:
            return
        values, deviations = (asdict(each) for each in comparison.compare_with_deviations(images))
        floor, floor_deviations = asdict(comparison.floor), asdict(comparison.floor_deviations)
        n = min(len(images), comparison.samples)
        for field, value in values.items():
            name = _LIKENESS.get(field, field)
            real = len(self.data.train) - comparison.samples if field == "frechet" else comparison.samples
            yield name, _measurement(
                name, value, n, deviations[field], floor[field], floor_deviations[field], real, self._eyes.name
            )

    def _diversity(self, samples: LabelledImages) -> Iterator[Named]:
        samples, real, held_out = samples.at_most(_FOR_PAIRS), self._pairs, self.data.held_out.at_most(_FOR_PAIRS)
        if not samples.class_names:  # of a generator that takes no labels
            real, held_out = real.unlabelled(), held_out.unlabelled()
        value = smallest_class_variety(samples, real)
        if value is None:
            return
        yield "smallest_class_variety", _measurement(
            "smallest_class_variety", value, len(samples), _variety_deviation(samples, real),
            smallest_class_variety(held_out, real), _variety_deviation(held_out, real), len(real), "pixels",
        )  # fmt: skip

    def _memorisation(self, closeness: Closeness) -> Iterator[Named]:
        real = self._memory.floor
        distances, real_distances = closeness.nearest.distances, real.nearest.distances
        ratio = ratio_of_medians(distances, real_distances)
        if not math.isnan(ratio):
            deviation = bootstrap_deviation(ratio_of_medians, distances, real_distances)
            yield "nearest_training_ratio", _measurement(
                "nearest_training_ratio", ratio, len(distances), deviation, 1.0, None, len(self.data.train), "pixels"
            )
        for name, ours, theirs in (
            ("nearer_to_training", closeness.nearer_to_training, real.nearer_to_training),
            ("near_copies", closeness.near, real.near),
            ("exact_copies", closeness.exact, real.exact),
        ):
            yield name, _mean(name, ours, theirs, len(self.data.train), "pixels")

    def _motion(self, images: NDArray[np.uint8]) -> Iterator[Named]:
        if images.ndim < 5:
            return
        held_out, real = self.data.held_out.images, self._pairs.images
        for measure in (frame_frechet_distance, motion_amount, motion_smoothness):
            name = measure.__name__
            yield name, _measurement(
                name, measure(images, real), len(images), _motion_deviation(measure, images, real),
                measure(held_out, real), _motion_deviation(measure, held_out, real), len(real), "pixels",
            )  # fmt: skip

    def _classes(self, samples: LabelledImages, read_as: NDArray[np.int64]) -> Iterator[Named]:
        held_out, classes, by = self.data.held_out, self.data.train.spec.classes, self._eyes.reader_name
        expected = _shares(self.data.train.labels, classes)
        if samples.class_names:
            expected = np.full(classes, 1 / classes)
            read = (read_as == samples.labels).astype(np.float64)
            real = (self._read_held_out == held_out.labels).astype(np.float64)
            yield "label_accuracy", _mean("label_accuracy", read, real, len(held_out), by)
        ours = read_as, expected
        theirs = self._read_held_out, _shares(held_out.labels, classes)
        for name, field in (("modes", "found"), ("modes_divergence", "divergence")):
            (value, deviation), (floor, floor_deviation) = (_modes(field, *each) for each in (ours, theirs))
            yield name, _measurement(
                name, value, len(read_as), deviation, floor, floor_deviation, len(held_out), by
            )

    def _usefulness(self, samples: LabelledImages) -> Iterator[Named]:
        n = min(len(samples), len(self.data.train), self._config.real_images)
        synthetic, real = samples.at_most(n), self.data.train.at_most(n)
        of_real = recognised(self.data.held_out, self._taught_by_real(n))
        for name, lessons in (
            ("synthetic_to_real_accuracy", synthetic),
            ("real_and_synthetic_accuracy", joined(real, synthetic)),
        ):
            read = recognised(self.data.held_out, self._eyes.teach(lessons))
            yield name, _mean(name, read, of_real, len(self.data.held_out), self._eyes.reader_name, samples=n)

    def _taught_by_real(self, n: int) -> Classifier:
        """Taught as the students of samples are, with as many real images."""
        if n not in self._students:
            train, reader = self.data.train, self._eyes.reader
            assert reader is not None
            self._students[n] = reader if n == len(train) else self._eyes.teach(train.at_most(n))
        return self._students[n]

    @cached_property
    def _students(self) -> dict[int, Classifier]:
        return {}


def _mean(
    name: str, ours: NDArray[np.float64], theirs: NDArray[np.float64], real: int, by: str, *, samples: int | None = None
) -> Measurement:
    """The mean of one number per sample, beside that of one per real image."""
    return _measurement(
        name, float(ours.mean()), samples or len(ours), bootstrap_deviation(np.mean, ours),
        float(theirs.mean()), bootstrap_deviation(np.mean, theirs), real, by,
    )  # fmt: skip


def _measurement(
    name: str,
    value: float,
    samples: int,
    deviation: float | None,
    real: float | None,
    real_deviation: float | None,
    real_samples: int,
    by: str,
) -> Measurement:
    return Measurement(
        value=value,
        samples=samples,
        interval=_interval(name, value, deviation),
        real=real,
        real_interval=_interval(name, real, real_deviation),
        real_samples=real_samples,
        by=by,
    )


def _interval(name: str, value: float | None, deviation: float | None) -> Interval | None:
    if value is None or deviation is None or not math.isfinite(deviation):
        return None
    return interval(value, deviation, CATALOGUE[name].low, CATALOGUE[name].high)


def _variety_deviation(images: LabelledImages, real: LabelledImages) -> float:
    def numbers(ours: Rows, theirs: Rows) -> NDArray[np.float64]:
        found = smallest_class_variety(images.subset(ours), real.subset(theirs))
        return np.array([math.nan if found is None else found])

    return float(subsampled_deviation(numbers, len(images), len(real))[0])


def _motion_deviation(measure: Callable[[NDArray[np.uint8], NDArray[np.uint8]], float], images: NDArray[np.uint8], real: NDArray[np.uint8]) -> float:
    def numbers(ours: Rows, theirs: Rows) -> NDArray[np.float64]:
        return np.array([measure(images[ours], real[theirs])])

    return float(subsampled_deviation(numbers, len(images), len(real), least=_LEAST_OF_MOTION)[0])


def _modes(field: str, read_as: NDArray[np.int64], expected: NDArray[np.float64]) -> tuple[float, float]:
    """A number of `Modes` and its deviation."""

    def number(rows: NDArray[np.int64]) -> float:
        return float(getattr(count_modes(rows, expected), field))

    return number(read_as), bootstrap_deviation(number, read_as)


def _shares(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Share of each class; one without images counts as half an image."""
    counts: NDArray[np.float64] = np.maximum(np.bincount(labels, minlength=classes), 0.5)
    return counts / len(labels)


def _signs(measures: dict[str, Measurement]) -> list[str]:
    near, nearer, exact = (measures[name] for name in ("near_copies", "nearer_to_training", "exact_copies"))
    intervals = [each.interval or (each.value, each.value) for each in (near, nearer, exact)]
    return signs_of_copying(*intervals, exact.real or 0.0)
