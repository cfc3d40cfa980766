"""What the best value is worth: the recipe's own settings and the best ones with fresh seeds, on equal terms.

The best of many trials owes part of its value to luck, which does not come twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean, stdev

from trainer.search.folder import SearchFolder, Task, TaskFolder
from trainer.search.objective import FRESH_SEED, Objective, better
from trainer.search.search_config import SearchConfig
from trainer.search.study import DEFAULT

_SEEDS = 2**32


@dataclass(frozen=True)
class Confirmation:
    """Values of the objective with fresh seeds of training and sampling, the same ones for both.

    Attributes:
        trial: number of the best trial.
        default: values of the recipe's own settings, one per seed; a seed with which a training failed is left out.
        best: of the best trial's settings likewise.
    """

    trial: int
    default: tuple[float, ...]
    best: tuple[float, ...]

    def holds(self, objective: Objective) -> bool:
        """Whether the best trial's settings are better on average than the recipe's own, or those always fail."""
        if not (self.default and self.best):
            return not self.default
        return better(objective, mean(self.best), mean(self.default))

    @property
    def within_noise(self) -> bool:
        """Whether the means are nearer to each other than two standard errors of their difference."""
        if min(len(self.default), len(self.best)) < 2:
            return True
        error = sum(stdev(values) ** 2 / len(values) for values in (self.default, self.best)) ** 0.5
        return bool(abs(mean(self.best) - mean(self.default)) < 2 * error)


@dataclass(frozen=True)
class Rematch:
    """The trainings that a confirmation needs.

    Attributes:
        best: number of the best trial.
        settings: overrides of the recipe for the best trial and for the recipe's own settings, by trial.
        seeds: fresh ones of training.
    """

    folder: SearchFolder
    config: SearchConfig
    best: int
    settings: Mapping[int, tuple[str, ...]]
    seeds: tuple[int, ...]

    @property
    def orders(self) -> list[tuple[TaskFolder, Task]]:
        """Every training, seed by seed."""
        return [
            (
                self.folder.confirmation(trial, seed),
                Task(self.config.recipe, (*self.settings[trial], f"seed={seed}"), FRESH_SEED, steps=1),
            )
            for seed in self.seeds
            for trial in (DEFAULT, self.best)
        ]

    def result(self) -> Confirmation:
        """What the trainings came to."""
        return Confirmation(self.best, self._values(DEFAULT), self._values(self.best))

    def _values(self, trial: int) -> tuple[float, ...]:
        outcomes = [self.folder.confirmation(trial, seed).outcome() for seed in self.seeds]
        return tuple(outcome.scores[self.config.objective] for outcome in outcomes if outcome and outcome.scores)


def fresh_seeds(seed: int, n: int) -> tuple[int, ...]:
    """`n` seeds of training other than the trials' own `seed`."""
    return tuple((seed + 1 + index) % _SEEDS for index in range(n))
