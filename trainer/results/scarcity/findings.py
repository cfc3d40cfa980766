"""Means and paired intervals of the study of scarcity."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, stdev

from trainer.results.scarcity.arms import Score
from trainer.results.scarcity.plan import Arm, Cell, Plan

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Gain:
    """What one arm adds to another's accuracy: the mean over seeds of paired differences, and its t interval.

    Attributes:
        mean: in 0 … 1, negative for a loss.
        margin: half the width of the interval.
        seeds: pairs.
    """

    mean: float
    margin: float
    seeds: int

    @property
    def proven(self) -> bool:
        """Whether the whole interval is above zero."""
        return self.mean - self.margin > 0

    @property
    def refuted(self) -> bool:
        """Whether the whole interval is below zero."""
        return self.mean + self.margin < 0


def paired(ours: list[float], theirs: list[float]) -> Gain:
    """The gain of `ours` over `theirs`, seed by seed; of a single pair the margin is infinite."""
    from scipy.stats import t

    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    n = len(differences)
    if n < 2:
        return Gain(mean(differences), math.inf, n)
    margin = float(t.ppf((1 + CONFIDENCE) / 2, n - 1)) * stdev(differences) / math.sqrt(n)
    return Gain(mean(differences), margin, n)


@dataclass(frozen=True)
class Findings:
    """Scores by cell and name of the arm, as far as they are there."""

    plan: Plan
    scores: Mapping[Cell, Mapping[str, Score]]

    @property
    def sizes(self) -> list[int]:
        """Real images per class of which there is anything, from small to large."""
        return sorted({cell.per_class for cell in self.scores})

    def arms(self, *without: str) -> list[Arm]:
        """Arms that have a score, in the order of the plan."""
        found = {name for scores in self.scores.values() for name in scores}
        return [arm for arm in self.plan.arms if arm.name in found and arm.name not in without]

    def accuracies(self, size: int, arm: str) -> list[float]:
        """Of every seed that is there."""
        return [scores[arm].accuracy for scores in self._of(size, arm)]

    def newness(self, size: int, arm: str) -> float | None:
        """Mean over seeds, see `Score`; None where nothing is synthetic."""
        values = [value for scores in self._of(size, arm) if (value := scores[arm].newness) is not None]
        return mean(values) if values else None

    def gain(self, size: int, arm: str, over: str) -> Gain | None:
        """Over the seeds that have both; None where there is none."""
        both = self._of(size, arm, over)
        if not both:
            return None
        return paired([scores[arm].accuracy for scores in both], [scores[over].accuracy for scores in both])

    def _of(self, size: int, *arms: str) -> list[Mapping[str, Score]]:
        cells = [cell for cell in self.plan.cells if cell.per_class == size and cell in self.scores]
        return [self.scores[cell] for cell in cells if all(arm in self.scores[cell] for arm in arms)]
