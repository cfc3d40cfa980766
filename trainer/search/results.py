"""What a search has found, for programs: `results.json`, which the report is drawn from."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from trainer.search.confirmation import Confirmation
from trainer.search.search_config import SearchConfig
from trainer.search.study import VERDICT, SharedStudy


@dataclass(frozen=True)
class TrialResult:
    """One trial.

    Attributes:
        state: ``complete``, ``pruned``, ``collapsed``, ``fail``, ``running`` or ``waiting``.
        value: of the objective at its end, of a pruned one where it was stopped; None where there is none.
        verdict: why it collapsed or failed, else empty.
        parameters: searched fields.
        steps: the objective on the way, by eighth of the budget.
    """

    number: int
    state: str
    value: float | None
    verdict: str
    parameters: dict[str, Any]
    steps: dict[int, float]


@dataclass(frozen=True)
class SearchResults:
    """The whole search.

    Attributes:
        direction: ``minimize`` or ``maximize``.
        real: the objective of real images.
        best: number of the best trial so far; None before the first.
        defaults: the recipe's own values of the searched fields.
        log_scaled: searched fields whose range is logarithmic.
        importances: share of each field in how values differ; empty where there are too few trials.
        confirmation: None where it was not asked for, or is to come.
        package: what was published, None before.
    """

    config: dict[str, Any]
    direction: str
    real: float
    best: int | None
    defaults: dict[str, Any]
    log_scaled: list[str]
    trials: list[TrialResult]
    importances: dict[str, float] = field(default_factory=dict)
    confirmation: Confirmation | None = None
    package: str | None = None

    def to_json(self) -> str:
        """The text of `results.json`."""
        return json.dumps(asdict(self), indent=2) + "\n"


def collect(
    study: SharedStudy,
    config: SearchConfig,
    real: float,
    confirmation: Confirmation | None = None,
    package: str | None = None,
) -> SearchResults:
    """What `study` has come to."""
    best = study.best
    return SearchResults(
        config=config.model_dump(mode="json"),
        direction=study.direction,
        real=real,
        best=None if best is None else best.number,
        defaults=dict(study.space.defaults),
        log_scaled=[each.path for each in study.space.dimensions if getattr(each.distribution, "log", False)],
        trials=[_result(trial) for trial in study.all()],
        importances=study.importances(),
        confirmation=confirmation,
        package=package,
    )


def _result(trial: FrozenTrial) -> TrialResult:
    verdict = trial.user_attrs.get(VERDICT, "")
    return TrialResult(
        number=trial.number,
        state="collapsed" if trial.state is TrialState.PRUNED and verdict else trial.state.name.lower(),
        value=trial.value,
        verdict=verdict,
        parameters=dict(trial.params),
        steps=dict(trial.intermediate_values),
    )
