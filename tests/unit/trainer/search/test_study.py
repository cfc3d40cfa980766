"""The shared study: who works on what, what became of it, and what a dead worker leaves behind."""

from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

from trainer.search.folder import Outcome, SearchFolder
from trainer.search.search_config import STEPS, Pruning, SearchConfig
from trainer.search.space import Dimension, Space
from trainer.search.study import STARTS, VERDICT, WORKER, SharedStudy

SPACE = Space((Dimension("x", FloatDistribution(0, 10), 5.0, {}), Dimension("y", FloatDistribution(0, 1), 0.5, {})))


def open_study(path: Path, trials: int = 4, pruning: Pruning = "median") -> SharedStudy:
    """As a command opens it."""
    config = SearchConfig(recipe="r", space={"x": {}}, data_fingerprint="f", pruning=pruning)
    folder = SearchFolder(path)
    folder.adopt(config)
    return SharedStudy(folder, config, SPACE, trials)


def finish(study: SharedStudy, value: float, steps: int = STEPS) -> int:
    """Work on one trial whose objective is `value` at each step; its number."""
    with study.claim() as claim:
        assert claim is not None
        for step in range(1, steps + 1):
            if not study.report(claim, step, {"frechet": value}):
                study.tell(claim, "given up")
                return claim.trial.number
        study.tell(claim, Outcome({"frechet": value}))
        return claim.trial.number


def test_the_recipes_own_settings_come_first_and_the_best_is_found(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    assert [finish(study, value) for value in (3.0, 2.0, 4.0)] == [0, 1, 2]
    assert study.default.params == {"x": 5.0, "y": 0.5}
    assert study.best is not None
    assert (study.best.number, study.best.value) == (1, 2.0)
    assert not study.finished
    finish(study, 5.0)
    assert study.finished
    with study.claim() as claim:
        assert claim is None


def test_two_commands_share_trials_and_never_work_on_the_same_one(tmp_path: Path) -> None:
    left, right = open_study(tmp_path, trials=3), open_study(tmp_path, trials=3)
    with left.claim() as first, right.claim() as second, left.claim() as third:
        claims = [first, second, third]
        assert [claim.trial.number for claim in claims if claim] == [0, 1, 2]
        with right.claim() as none:
            assert none is None  # as many as were asked for have begun
        assert not right.finished
    assert len({tuple(trial.params.values()) for trial in left.all()}) == 3


def test_a_trial_of_a_dead_worker_is_taken_over_with_its_settings(tmp_path: Path) -> None:
    finish(open_study(tmp_path), 1.0)
    with open_study(tmp_path).claim() as claim:  # leaving without a word frees the lock, as a SIGKILL does
        assert claim is not None
        abandoned = dict(claim.trial.params)
        open_study(tmp_path).report(claim, 1, {"frechet": 9.0})
    study = open_study(tmp_path)
    with study.claim() as again:
        assert again is not None
        assert (again.trial.number, again.trial.params) == (1, abandoned)
        assert again.trial.user_attrs[STARTS] == 2
        assert "process" in again.trial.user_attrs[WORKER]
        study.report(again, 1, {"frechet": 9.0})  # said before
        study.tell(again, Outcome({"frechet": 0.5}))
    assert [trial.state for trial in study.all()] == [TrialState.COMPLETE] * 2


def test_a_trial_that_was_put_back_was_not_begun(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    for _ in range(20):
        with study.claim() as claim:
            assert claim is not None
            assert claim.trial.user_attrs[STARTS] == 1
            study.put_back(claim)


def test_a_trial_that_kills_its_workers_is_given_up(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    numbers = []
    for _ in range(6):
        with study.claim() as claim:
            assert claim is not None
            numbers.append(claim.trial.number)
    assert numbers == [0, 0, 0, 0, 0, 1]
    assert study.default.state is TrialState.FAIL
    assert study.default.user_attrs[VERDICT] == "interrupted 5 times"


def test_collapse_warns_the_sampler_off_and_other_failures_do_not(tmp_path: Path) -> None:
    study = open_study(tmp_path)
    outcomes = (
        Outcome(verdict="collapsed", collapsed=True),
        Outcome(verdict="killed by SIGKILL"),
        Outcome({"frechet": float("nan")}),
        Outcome({"frechet": 1.0}),
    )
    for outcome in outcomes:
        with study.claim() as claim:
            assert claim is not None
            study.tell(claim, outcome)
    states = [TrialState.PRUNED, TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE]
    assert [trial.state for trial in study.all()] == states
    verdicts = [trial.user_attrs.get(VERDICT) for trial in study.all()]
    assert verdicts == ["collapsed", "killed by SIGKILL", "frechet became nan", None]
    assert study.best is not None
    assert study.best.number == 3


@pytest.mark.parametrize(("pruning", "expected"), [("median", TrialState.PRUNED), ("none", TrialState.COMPLETE)])
def test_a_trial_that_falls_behind_is_stopped(tmp_path: Path, pruning: Pruning, expected: TrialState) -> None:
    study = open_study(tmp_path, trials=9, pruning=pruning)
    for value in (2.0, 2.0, 2.1, 2.2, 2.3):
        finish(study, value)
    behind = finish(study, 50.0)
    assert study.all()[behind].state is expected


def test_the_default_is_never_stopped_early(tmp_path: Path) -> None:
    study = open_study(tmp_path, trials=9)
    with study.claim() as default:
        assert default is not None
        for value in (1.0, 1.0, 1.1, 1.2, 1.3):
            finish(study, value)
        assert all(study.report(default, step, {"frechet": 99.0}) for step in range(1, STEPS + 1))


def test_importances_name_the_field_that_matters(tmp_path: Path) -> None:
    study = open_study(tmp_path, trials=16, pruning="none")
    assert study.importances() == {}
    for _ in range(16):
        with study.claim() as claim:
            assert claim is not None
            study.tell(claim, Outcome({"frechet": (claim.trial.params["x"] - 3) ** 2}))
    found = study.importances()
    assert list(found) == ["x", "y"]
    assert sum(found.values()) == pytest.approx(1)
    assert found["x"] > 0.8


def test_hyperband_stops_some_and_finishes_some(tmp_path: Path) -> None:
    study = open_study(tmp_path, trials=24, pruning="hyperband")
    for value in range(24):
        finish(study, float(value))
    states = {trial.state for trial in study.all()}
    assert states == {TrialState.PRUNED, TrialState.COMPLETE}
