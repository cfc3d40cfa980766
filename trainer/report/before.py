"""What the package that a fine-tuning began with scores on the same images, and how the new one compares."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from runtime.fine_tuning import COPYING, IMPROVEMENT
from runtime.latents import latents_from_seeds
from runtime.manifest import Measurement
from trainer.data import DataSplit, LabelledImages
from trainer.evaluation import Evaluation, EvaluationConfig, Evaluator, Sampler, draw_like, draw_samples
from trainer.evaluation.catalogue import CATALOGUE, HELD_OUT_DISTANCE
from trainer.grids import grid_seeds
from trainer.report.pictures import Picture, picture

PREFIX = "base."
"""Of the names of such measures in a manifest."""

_COLUMNS = 10
_GROUPS = ("likeness", "classes", "diversity")  # it has not seen the images, so it cannot have learned them by heart


@dataclass(frozen=True)
class Before:
    """A package before it was fine-tuned.

    Attributes:
        package: ``name@version``.
        measures: as in a manifest, by name.
        samples: what it draws.
        real: images that training never sees, of the same classes.
    """

    package: str
    measures: dict[str, Measurement]
    samples: Picture
    real: Picture

    def to_json(self) -> bytes:
        """For a file."""
        return TypeAdapter(Before).dump_json(self)

    def facts(self) -> dict[str, Any]:
        """For `evaluation.json`."""
        return {
            "package": self.package,
            "measures": {name: found.model_dump() for name, found in self.measures.items()},
        }

    @staticmethod
    def from_json(content: bytes) -> "Before":
        """What `to_json` wrote.

        Raises:
            ValueError: it is something else.
        """
        return TypeAdapter(Before).validate_json(content)

    def compare(self, found: Evaluation, held_out: Measurement) -> Evaluation:
        """`found`, of the fine-tuned generator, with the measures of the group fine-tuning.

        Args:
            held_out: see `Evaluator.held_out_distance`.
        """
        more = {HELD_OUT_DISTANCE: held_out}
        base = self.measures[HELD_OUT_DISTANCE].value
        if base > 0:  # else it drew such images already, and there is nothing to divide by
            ratio = held_out.value / base
            more[IMPROVEMENT] = Measurement(value=ratio, samples=held_out.samples, by=held_out.by)
        more[COPYING] = Measurement(value=len(found.copying), samples=len(found.samples), by="pixels")
        return replace(found, measures=found.measures | more)


def measure_before(
    package: str,
    config: EvaluationConfig,
    data: DataSplit,
    evaluator: Evaluator,
    sampler: Sampler,
    *,
    dim: int,
    conditional: bool,
) -> Before:
    """Measure `sampler`, the generator of `package`, whose labels are those of `data`.

    Args:
        dim: of its latents.
        conditional: whether it takes labels.
    """
    names = data.train.class_names if conditional else ()
    found = evaluator.measure(draw_samples(config, names, dim, sampler))
    like = draw_like(config, data.held_out, dim, sampler, conditional=conditional)
    measures = {name: each for name, each in found.measures.items() if CATALOGUE[name].group in _GROUPS}
    measures[HELD_OUT_DISTANCE] = evaluator.held_out_distance(like)
    seeds, labels = grid_seeds(max(1, len(names)), _COLUMNS)
    samples = sampler(latents_from_seeds(seeds, dim), labels)
    real = _like_grid(data.held_out if names else data.held_out.unlabelled(), labels)
    return Before(package, measures, picture(samples, _COLUMNS), picture(real, _COLUMNS))


def _like_grid(real: LabelledImages, labels: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Images of those classes, again from the first where a class has too few."""
    rows = np.zeros(len(labels), np.int64)
    for label in np.unique(labels):
        rows[labels == label] = np.resize(np.flatnonzero(real.labels == label), int((labels == label).sum()))
    return real.images[rows]
