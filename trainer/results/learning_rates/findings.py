"""What the study of learning rates has found: the ten best runs of each setting, on two bases of comparison."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median, pstdev, quantiles

from trainer.results.learning_rates.runs import Outcome, Run, Setting

BEST = 10


@dataclass(frozen=True)
class Result:
    """A run and how it ended."""

    run: Run
    outcome: Outcome


@dataclass(frozen=True)
class Basis:
    """What is equal for all optimizers when they are compared."""

    title: str
    distance: Callable[[Outcome], float | None]

    def of(self, outcome: Outcome) -> float:
        """The Fréchet distance; infinite where the run had diverged."""
        distance = self.distance(outcome)
        return math.inf if distance is None else distance


BASES = (
    Basis("at equal steps", lambda outcome: outcome.steps),
    Basis("at equal time", lambda outcome: outcome.time),
)


@dataclass(frozen=True)
class Best:
    """The best runs of one setting on one basis: Fréchet distances from small to large, infinite ones included."""

    distances: list[float]

    @property
    def median(self) -> float:
        return median(self.distances)

    @property
    def deviation(self) -> float:
        """Standard deviation, of which Naganuma and Iiduka speak."""
        return pstdev(self.distances) if math.isfinite(self.distances[-1]) else math.inf

    @property
    def quartiles(self) -> float:
        """Distance of the quartiles."""
        if not math.isfinite(self.distances[-1]) or len(self.distances) < 2:
            return math.inf
        lower, _, upper = quantiles(self.distances, n=4, method="inclusive")
        return upper - lower

    @property
    def relative(self) -> float:
        """Standard deviation over median: slow optimizers, all of whose runs are alike, gain nothing by it."""
        return self.deviation / self.median if math.isfinite(self.deviation) else math.inf


class Findings:
    """All results of a study, by setting."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._results = results

    @cached_property
    def settings(self) -> list[Setting]:
        """In the order in which they first occur."""
        return list(dict.fromkeys(result.run.setting for result in self._results))

    def of(self, setting: Setting) -> list[Result]:
        """Every result of one setting."""
        return [result for result in self._results if result.run.setting == setting]

    def best(self, setting: Setting, basis: Basis) -> Best:
        """Its ten best runs, or all where there are fewer."""
        return Best(sorted(basis.of(result.outcome) for result in self.of(setting))[:BEST])

    def winner(self, setting: Setting, basis: Basis) -> Run:
        """Its best run."""
        return min(self.of(setting), key=lambda result: basis.of(result.outcome)).run

    def diverged(self, setting: Setting) -> int:
        """Runs with a loss or an image that was not finite."""
        return sum(None in (result.outcome.steps, result.outcome.time) for result in self.of(setting))

    def ratios(self, without: Setting, setting: Setting, basis: Basis) -> list[float]:
        """Distances of `setting` over those of `without`, at each pair of rates where both are finite."""
        other = {_rates(result.run): basis.of(result.outcome) for result in self.of(without)}
        ours = {_rates(result.run): basis.of(result.outcome) for result in self.of(setting)}
        ratios = [distance / other[rates] for rates, distance in ours.items() if rates in other]
        return [ratio for ratio in ratios if math.isfinite(ratio) and ratio > 0]


def name_of(setting: Setting) -> str:
    """As in `DY with λ`."""
    return f"{setting.optimizer} with λ" if setting.weight else setting.optimizer


def _rates(run: Run) -> tuple[float, float]:
    return run.generator_rate, run.discriminator_rate
