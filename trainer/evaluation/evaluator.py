"""The evaluation: every measure that data and samples allow, with its interval and what real images score."""

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Interval, Measurement
from trainer.data.images import DataSplit, LabelledImages
from trainer.evaluation.catalogue import CATALOGUE, HELD_OUT_DISTANCE, Measure
from trainer.evaluation.classifier import Classifier
from trainer.evaluation.comparison import LEAST, Comparison
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.feature_choice import Eyes
from trainer.evaluation.kernel import kernel_distance
from trainer.evaluation.measures import joined, ratio_of_medians, recognised, smallest_class_variety
from trainer.evaluation.memorisation import Closeness, Memory, chance_of_nearness, signs_of_copying
from trainer.evaluation.modes import count_modes
from trainer.evaluation.per_class import ClassRow, class_rows
from trainer.evaluation.resampling import Rows, bootstrap_deviation, interval, subsampled_deviation
from trainer.evaluation.sequences import frame_frechet_distance, motion_amount, motion_smoothness

Named = tuple[str, Measurement]
_LIKENESS = {"frechet": "frechet_distance", "kernel": "kernel_distance"}
_FOR_PAIRS = 5_000  # images at most whose pairwise distances are taken
_LEAST_OF_MOTION = 4
_PIXELS = "pixels"


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
        return Evaluation(
            samples,
            found,
            rows,
            closeness,
            _signs(copying),
            self._memory.threshold,
        )

    def copying(self, images: NDArray[np.uint8]) -> list[str]:
        """Signs that `images` copy training images, in sentences."""
        return _signs(dict(self._memorisation(self._memory.closeness(images))))

    def held_out_distance(self, images: NDArray[np.uint8]) -> Measurement:
        """Kernel distance of `images` to those that training never saw, at least two of both."""
        held_out, features = self._held_out_features, self._eyes.features(images)

        def numbers(ours: Rows, theirs: Rows) -> NDArray[np.float64]:
            return np.array([kernel_distance(held_out[theirs], features[ours])])

        deviation = subsampled_deviation(numbers, len(features), len(held_out)).item()
        real = self._eyes.features(self.data.train.at_most(len(images)).images)
        ours = _Number(kernel_distance(held_out, features), deviation)
        theirs = _Number(kernel_distance(held_out, real))
        name, n = HELD_OUT_DISTANCE, len(images)
        return _measurement(name, ours, theirs, samples=n, real_samples=len(held_out), by=self._eyes.name)

    @cached_property
    def _held_out_features(self) -> NDArray[np.float32]:
        return self._eyes.features(self.data.held_out.images)

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
        for field in values:
            name = _LIKENESS.get(field, field)
            real = len(self.data.train) - comparison.samples if field == "frechet" else comparison.samples
            ours, theirs = _Number(values[field], deviations[field]), _Number(floor[field], floor_deviations[field])
            yield name, _measurement(name, ours, theirs, samples=n, real_samples=real, by=self._eyes.name)

    def _diversity(self, samples: LabelledImages) -> Iterator[Named]:
        samples, real, held_out = samples.at_most(_FOR_PAIRS), self._pairs, self.data.held_out.at_most(_FOR_PAIRS)
        if not samples.class_names:  # of a generator that takes no labels
            real, held_out = real.unlabelled(), held_out.unlabelled()
        ours, theirs = _variety(samples, real), _variety(held_out, real)
        if ours is not None:
            name = "smallest_class_variety"
            yield name, _measurement(name, ours, theirs, samples=len(samples), real_samples=len(real), by=_PIXELS)

    def _memorisation(self, closeness: Closeness) -> Iterator[Named]:
        real = self._memory.floor
        distances, real_distances = closeness.nearest.distances, real.nearest.distances
        n, train = len(distances), len(self.data.train)
        ratio = ratio_of_medians(distances, real_distances)
        if not math.isnan(ratio):
            name, deviation = "nearest_training_ratio", bootstrap_deviation(ratio_of_medians, distances, real_distances)
            ours = _Number(ratio, deviation)
            yield name, _measurement(name, ours, _Number(1.0), samples=n, real_samples=train, by=_PIXELS)
        for name, numbers, real_numbers in (
            ("nearer_to_training", closeness.nearer_to_training, real.nearer_to_training),
            ("near_copies", closeness.near, real.near),
            ("exact_copies", closeness.exact, real.exact),
        ):
            ours, theirs = _mean(numbers), _mean(real_numbers)
            if name == "nearer_to_training":
                ours = _Number(ours.value, max(ours.deviation or 0.0, chance_of_nearness(closeness.nearest_of_both)))
            yield name, _measurement(name, ours, theirs, samples=n, real_samples=train, by=_PIXELS)

    def _motion(self, images: NDArray[np.uint8]) -> Iterator[Named]:
        if images.ndim < 5:
            return
        held_out, real = self.data.held_out.images, self._pairs.images
        for measure in (frame_frechet_distance, motion_amount, motion_smoothness):
            name, ours, theirs = measure.__name__, _moved(measure, images, real), _moved(measure, held_out, real)
            yield name, _measurement(name, ours, theirs, samples=len(images), real_samples=len(real), by=_PIXELS)

    def _classes(self, samples: LabelledImages, read_as: NDArray[np.int64]) -> Iterator[Named]:
        held_out, classes = self.data.held_out, self.data.train.spec.classes
        counts: dict[str, Any] = {
            "samples": len(samples), "real_samples": len(held_out), "by": self._eyes.reader_name,
        }  # fmt: skip
        expected = _shares(self.data.train.labels, classes)
        if samples.class_names:
            expected = np.full(classes, 1 / classes)
            ours, theirs = _mean(read_as == samples.labels), _mean(self._read_held_out == held_out.labels)
            yield "label_accuracy", _measurement("label_accuracy", ours, theirs, **counts)
        of_real = _shares(held_out.labels, classes)
        for name, field in (("modes", "found"), ("modes_divergence", "divergence")):
            ours, theirs = _modes(field, read_as, expected), _modes(field, self._read_held_out, of_real)
            yield name, _measurement(name, ours, theirs, **counts)

    def _usefulness(self, samples: LabelledImages) -> Iterator[Named]:
        n, held_out = min(len(samples), len(self.data.train), self._config.real_images), self.data.held_out
        synthetic, real = samples.at_most(n), self.data.train.at_most(n)
        theirs = _mean(recognised(held_out, self._taught_by_real(n)))
        for name, lessons in (
            ("synthetic_to_real_accuracy", synthetic),
            ("real_and_synthetic_accuracy", joined(real, synthetic)),
        ):
            ours = _mean(recognised(held_out, self._eyes.teach(lessons)))
            by = self._eyes.reader_kind
            yield name, _measurement(name, ours, theirs, samples=n, real_samples=len(held_out), by=by)

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


@dataclass(frozen=True)
class _Number:
    """A number, and its standard deviation where that is known."""

    value: float
    deviation: float | None = None

    def interval(self, measure: Measure) -> Interval | None:
        if self.deviation is None or not math.isfinite(self.deviation):
            return None
        return interval(self.value, self.deviation, measure.low, measure.high)


def _measurement(
    name: str, ours: _Number, real: _Number | None, *, samples: int, real_samples: int, by: str
) -> Measurement:
    measure = CATALOGUE[name]
    return Measurement(
        value=ours.value,
        samples=samples,
        interval=ours.interval(measure),
        real=None if real is None else real.value,
        real_interval=None if real is None else real.interval(measure),
        real_samples=real_samples,
        by=by,
    )


def _signs(memorisation: dict[str, Measurement]) -> list[str]:
    return signs_of_copying(*(memorisation[name] for name in ("near_copies", "nearer_to_training", "exact_copies")))


def _mean(numbers: NDArray[Any]) -> _Number:
    """Of one number per image."""
    return _Number(float(numbers.mean()), bootstrap_deviation(np.mean, numbers.astype(np.float64)))


def _variety(images: LabelledImages, real: LabelledImages) -> _Number | None:
    def numbers(ours: Rows, theirs: Rows) -> NDArray[np.float64]:
        found = smallest_class_variety(images.subset(ours), real.subset(theirs))
        return np.array([math.nan if found is None else found])

    value = smallest_class_variety(images, real)
    return None if value is None else _Number(value, subsampled_deviation(numbers, len(images), len(real)).item())


def _moved(
    measure: Callable[[NDArray[np.uint8], NDArray[np.uint8]], float], images: NDArray[np.uint8], real: NDArray[np.uint8]
) -> _Number:
    def numbers(ours: Rows, theirs: Rows) -> NDArray[np.float64]:
        return np.array([measure(images[ours], real[theirs])])

    deviation = subsampled_deviation(numbers, len(images), len(real), least=_LEAST_OF_MOTION)
    return _Number(measure(images, real), deviation.item())


def _modes(field: str, read_as: NDArray[np.int64], expected: NDArray[np.float64]) -> _Number:
    """A number of `Modes`."""

    def number(rows: NDArray[np.int64]) -> float:
        return float(getattr(count_modes(rows, expected), field))

    return _Number(number(read_as), bootstrap_deviation(number, read_as))


def _shares(labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Share of each class; one without images counts as half an image."""
    counts: NDArray[np.float64] = np.maximum(np.bincount(labels, minlength=classes), 0.5)
    return counts / len(labels)
