"""The study that workers of one or several commands share: who works on which trial, and what came of it."""

import math
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from typing import Literal

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from trainer.search.folder import Outcome, SearchFolder, TaskFolder
from trainer.search.journal import LockedJournal
from trainer.search.locks import try_lock
from trainer.search.objective import DIRECTIONS, better
from trainer.search.sampler import SeededTpe
from trainer.search.search_config import STEPS, Pruning, SearchConfig
from trainer.search.space import Space

DEFAULT = 0
"""Number of the trial with the recipe's own settings."""

STARTS, VERDICT, WORKER = "starts", "verdict", "worker"
"""Attributes of a trial: how often it was begun, why it collapsed or failed, who worked on it last."""

_MOST_STARTS = 5
_LEAST_FOR_IMPORTANCE = 4  # different values
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
"""States of trials that have ended."""


@dataclass(frozen=True)
class Claim:
    """A trial that this worker alone works on."""

    trial: Trial
    folder: TaskFolder
    lock: FileIO


class SharedStudy:
    """Trials in the folder's journal; safe to use from any number of threads and processes."""

    def __init__(self, folder: SearchFolder, config: SearchConfig, space: Space, trials: int) -> None:
        """Open the study, or begin it with the recipe's own settings.

        Args:
            trials: how many to begin altogether, failed ones included.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.space, self.trials = space, trials
        self._folder, self._objective = folder, config.objective
        with folder.locked("claims"):
            self._study = optuna.create_study(
                storage=JournalStorage(LockedJournal(folder.journal)),
                study_name="search",
                direction=DIRECTIONS[config.objective],
                sampler=SeededTpe(config.seed),
                pruner=_pruner(config.pruning),
                load_if_exists=True,
            )
            if not self.all():
                self._study.enqueue_trial(space.defaults)

    def all(self) -> list[FrozenTrial]:
        """Every trial, by number."""
        return self._study.get_trials(deepcopy=False)

    @property
    def direction(self) -> str:
        """``minimize`` or ``maximize``."""
        return DIRECTIONS[self._objective]

    @property
    def finished(self) -> bool:
        """Whether every trial has ended."""
        return sum(trial.state in FINISHED for trial in self.all()) >= self.trials

    @property
    def best(self) -> FrozenTrial | None:
        """The trial with the best value; None where none has got to its end."""
        complete = [trial for trial in self.all() if trial.state is TrialState.COMPLETE]
        best = None
        for trial in complete:
            if best is None or better(self._objective, trial.value or 0.0, best.value or 0.0):
                best = trial
        return best

    @property
    def default(self) -> FrozenTrial:
        """The trial with the recipe's own settings."""
        return self.all()[DEFAULT]

    def importances(self) -> dict[str, float]:
        """Share of each field in how values differ (fANOVA, Hutter et al. 2014), largest first; empty where there are
        too few values to say."""
        complete = [trial for trial in self.all() if trial.state is TrialState.COMPLETE]
        if len({trial.value for trial in complete}) < _LEAST_FOR_IMPORTANCE:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        return optuna.importance.get_param_importances(self._study, evaluator=evaluator)

    @contextmanager
    def claim(self) -> Iterator[Claim | None]:
        """Within it, a trial of one's own: one that a dead worker has left, else a new one; None where there is none.

        Whether the worker of a running trial is alive is asked of the kernel, see `trainer.search.locks`.
        """
        claim = self._claim()
        try:
            yield claim
        finally:
            if claim is not None:
                claim.lock.close()

    def report(self, claim: Claim, step: int, scores: dict[str, float]) -> bool:
        """Note the objective at `step` of `STEPS`; whether the trial is worth going on with."""
        trial = claim.trial
        if step not in self._study.get_trials(deepcopy=False)[trial.number].intermediate_values:
            trial.report(scores[self._objective], step)
        return trial.number == DEFAULT or step >= STEPS or not trial.should_prune()

    def tell(self, claim: Claim, outcome: Outcome | Literal["given up"]) -> None:
        """Note how the trial ended. One that collapsed counts as pruned, which warns the sampler off; one that failed
        for other reasons says nothing about its settings."""
        if outcome == "given up":
            self._study.tell(claim.trial, state=TrialState.PRUNED)
            return
        value = outcome.scores.get(self._objective, math.nan)
        if outcome.verdict:
            claim.trial.set_user_attr(VERDICT, outcome.verdict)
            self._study.tell(claim.trial, state=TrialState.PRUNED if outcome.collapsed else TrialState.FAIL)
        elif math.isfinite(value):
            self._study.tell(claim.trial, value)
        else:
            claim.trial.set_user_attr(VERDICT, f"{self._objective} became {value}")
            self._study.tell(claim.trial, state=TrialState.PRUNED)

    def put_back(self, claim: Claim) -> None:
        """Leave a trial that was interrupted in good order to whoever claims it next."""
        claim.trial.set_user_attr(STARTS, claim.trial.user_attrs[STARTS] - 1)

    def _claim(self) -> Claim | None:
        with self._folder.locked("claims"):
            for left in self.all():
                if left.state is TrialState.RUNNING:
                    claim = self._take(Trial(self._study, left._trial_id))
                    if claim is not None and not self._hopeless(claim):
                        return claim
            begun = sum(trial.state is not TrialState.WAITING for trial in self.all())
            return self._take(self._study.ask()) if begun < self.trials else None

    def _take(self, trial: Trial) -> Claim | None:
        """`trial` with all its values, None where somebody works on it."""
        folder = self._folder.trial(trial.number)
        lock = try_lock(folder.worker)
        if lock is None:
            return None
        if self.all()[trial.number].state is not TrialState.RUNNING:  # ended while we asked
            lock.close()
            return None
        for dimension in self.space.dimensions:
            dimension.suggest(trial)
        trial.set_user_attr(STARTS, trial.user_attrs.get(STARTS, 0) + 1)
        trial.set_user_attr(WORKER, f"process {os.getpid()} on {socket.gethostname()}")
        return Claim(trial, folder, lock)

    def _hopeless(self, claim: Claim) -> bool:
        """Whether the trial was begun too often, and is ended here: it may be what kills its workers."""
        if claim.trial.user_attrs[STARTS] <= _MOST_STARTS or claim.folder.outcome() is not None:
            return False
        self.tell(claim, Outcome(verdict=f"interrupted {_MOST_STARTS} times"))
        claim.lock.close()
        return True


def _pruner(pruning: Pruning) -> BasePruner:
    match pruning:
        case "median":
            return MedianPruner(n_startup_trials=4, n_warmup_steps=2)
        case "hyperband":
            return HyperbandPruner(min_resource=1, max_resource=STEPS, reduction_factor=2)
        case "none":
            return NopPruner()
