"""Suggestions: the same for the same seed, number and past; never the same twice."""

import math

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution

from trainer.search.sampler import SeededTpe

FIELDS: dict[str, BaseDistribution] = {"a": FloatDistribution(0, 1), "b": FloatDistribution(1e-5, 1, log=True)}


def tried(seed: int, trials: int, restarts: int = 0) -> list[dict[str, float]]:
    """Parameters of a study that is opened `restarts` times more on the way."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=SeededTpe(seed))
    for number in range(trials):
        if number < restarts:
            study.sampler = SeededTpe(seed)
        trial = study.ask(FIELDS)
        study.tell(trial, (trial.params["a"] - 0.3) ** 2)
    return [trial.params for trial in study.trials]


def test_a_resumed_study_tries_what_an_unbroken_one_does() -> None:
    assert tried(3, 12, restarts=12) == tried(3, 12)


def test_trials_fields_and_seeds_differ() -> None:
    values = [trial["a"] for trial in tried(0, 12)]
    assert len(set(values)) == 12
    assert values != [trial["a"] for trial in tried(1, 12)]
    first = tried(0, 1)[0]
    assert abs(first["a"] - math.log10(first["b"] / 1e-5) / 5) > 1e-3  # not one draw for both
