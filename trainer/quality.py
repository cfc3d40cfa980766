"""Quality while training: the number by which the best checkpoint is kept, and at which a run may end early."""

from typing import Literal, NotRequired, TypedDict

import numpy as np
from pydantic import Field

from trainer.config import Config
from trainer.data.images import LabelledImages
from trainer.evaluation.features import PcaFeatures
from trainer.evaluation.frechet import fit_gaussian, frechet_distance
from trainer.networks.base import Generator
from trainer.vitals import VitalSigns, draw

Metric = Literal["frechet_ratio", "variety", "classes"]
_SMALLER_IS_BETTER = frozenset({"frechet_ratio"})
_FIRST_SEED = 6_000_000
_REAL_IMAGES = 10_000


class QualityConfig(Config):
    """How a generator is measured on the way. Done only where `training.keep` or `budget.target` asks for it."""

    metric: Metric = "frechet_ratio"
    """What decides which checkpoint is best. `frechet_ratio`: Fréchet distance of samples to the training images
    on the principal components of the pixels (needs no labels), over that of as many real images, so that 1 is
    as good as real; `variety` and `classes`: the ratios that `alarm` looks at, more is better."""

    every: int = Field(default=51_200, ge=1)
    """Images between two measurements; the end of the run is always measured."""

    samples: int = Field(default=2_000, ge=100, le=100_000)
    """Samples of the averaged generator per measurement."""


class QualityTarget(Config):
    """A quality at which a run ends early."""

    metric: Metric = "frechet_ratio"
    """See `quality.metric`."""

    value: float = Field(gt=0)
    """Reached at or below it for `frechet_ratio`, at or above it for the others."""

    def reached(self, measured: dict[str, float]) -> bool:
        """Whether `measured`, from `Quality.measure`, is good enough."""
        if self.metric not in measured:  # unlabelled images have no classes
            return False
        return not better(self.metric, self.value, measured[self.metric])


class QualityState(TypedDict):
    """What a checkpoint keeps: the best value so far, and whether the target was reached; of a fine-tuning how many
    measurements in a row showed copies."""

    best: float | None
    images: int
    reached: bool
    copying: NotRequired[int]


def better(metric: Metric, new: float, old: float) -> bool:
    """Whether `new` is a better value of `metric` than `old`."""
    return new < old if metric in _SMALLER_IS_BETTER else new > old


class Quality:
    """Measures generators against the training images; the real side is computed once."""

    def __init__(self, config: QualityConfig, real: LabelledImages) -> None:
        self._config, self._real = config, real
        self._features = PcaFeatures(real.images)
        everything = real.at_most(_REAL_IMAGES)
        self._gaussian = fit_gaussian(self._features(everything.images))
        some = np.random.default_rng(0).permutation(len(everything))[: min(config.samples, len(everything) // 2)]
        floor = frechet_distance(fit_gaussian(self._features(everything.images[some])), self._gaussian)
        self._floor = max(floor, 1e-12)
        self._signs = VitalSigns(real, min(config.samples, 1_000))

    def measure(self, generator: Generator) -> dict[str, float]:
        """`frechet_ratio`, `variety` and, with labels, `classes`."""
        samples = draw(generator, self._config.samples, self._real.class_names, _FIRST_SEED)
        distance = frechet_distance(fit_gaussian(self._features(samples.images)), self._gaussian)
        return {"frechet_ratio": distance / self._floor, **self._signs.measure(generator)}
