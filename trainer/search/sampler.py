"""Suggestions that depend on the seed, the trial's number and the trials before it, and on nothing else."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

_STARTUP_TRIALS = 6


class SeededTpe(BaseSampler):
    """The tree-structured Parzen estimator (Bergstra et al. 2011; multivariate: Falkner et al. 2018, "BOHB"), seeded
    anew for each trial.

    A sampler with one seed would repeat its first suggestions in every command that goes on with a study or joins it.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Parameters that are drawn together."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values of those."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of a parameter that is drawn alone, as in the first trials."""
        return self._of(trial, param_name).sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Nothing is learnt outside the study."""

    def _of(self, trial: FrozenTrial, parameter: str = "") -> TPESampler:
        words = [self._seed, trial.number, *parameter.encode()]
        seed = int(np.random.SeedSequence(words).generate_state(1)[0])
        return TPESampler(n_startup_trials=_STARTUP_TRIALS, seed=seed)
