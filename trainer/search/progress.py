"""The progress bar over trials, with the best value so far."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from tqdm import tqdm

from trainer.search.search_config import STEPS
from trainer.search.study import DEFAULT, FINISHED, VERDICT, SharedStudy

_FORMAT = "{percentage:3.0f}%|{bar:24}| {desc}"
_STATES = {TrialState.PRUNED: "pruned", TrialState.FAIL: "failed", TrialState.RUNNING: "running"}


class TrialsBar:
    """One line on standard error, and a line above it for every trial that ends."""

    def __init__(self, bar: "tqdm[Any]", study: SharedStudy, objective: str) -> None:
        self._bar, self._study, self._objective = bar, study, objective
        self._interval = 0.5 if sys.stderr.isatty() else 10.0
        self._drawn = 0.0
        self._told = {trial.number for trial in study.all() if trial.state in FINISHED}
        self._begun, self._first = time.monotonic(), self._progress()

    def update(self) -> bool:
        """Show where the study is; whether a trial has ended since the last call."""
        ended = [trial for trial in self._study.all() if trial.state in FINISHED and trial.number not in self._told]
        for trial in ended:
            self._told.add(trial.number)
            self._bar.write(self._ending(trial), file=sys.stderr)
        if ended or time.monotonic() - self._drawn >= self._interval:
            self._drawn = time.monotonic()
            self._bar.n = round(self._progress() * STEPS)
            self._bar.set_description_str(self._words(), refresh=False)
            self._bar.refresh()
        return bool(ended)

    def _progress(self) -> float:
        """Trials that have ended, running ones in parts."""
        return sum(
            1.0 if trial.state in FINISHED else len(trial.intermediate_values) / STEPS for trial in self._study.all()
        )

    def _words(self) -> str:
        trials, best = self._study.all(), self._study.best
        words = [f"{sum(trial.state in FINISHED for trial in trials)}/{self._study.trials} trials"]
        if best is not None:
            words.append(f"best {self._objective} {best.value:.4g} (trial {best.number})")
            default = self._study.default
            if default.state is TrialState.COMPLETE and best.number != DEFAULT:
                words.append(f"default {default.value:.4g}")
        counts = Counter(trial.state for trial in trials)
        words += [f"{counts[state]} {name}" for state, name in _STATES.items() if counts[state]]
        gained, left = self._progress() - self._first, self._study.trials - self._progress()
        if gained > 0 and left > 0:
            words.append(f"{_duration((time.monotonic() - self._begun) / gained * left)} left")
        return ", ".join(words)

    def _ending(self, trial: FrozenTrial) -> str:
        """How `trial` ended, and with what settings where they are not the recipe's own."""
        match trial.state:
            case TrialState.COMPLETE:
                ending = f"{self._objective} {trial.value:.4g}"
            case TrialState.PRUNED if VERDICT not in trial.user_attrs:
                ending = f"pruned at {self._objective} {trial.value:.4g}" if trial.value is not None else "pruned"
            case TrialState.PRUNED:
                ending = trial.user_attrs[VERDICT]
            case _:
                ending = f"failed: {trial.user_attrs.get(VERDICT, 'no reason is known')}"
        return f"trial {trial.number}: {ending}   {describe(self._study, trial)}"


def describe(study: SharedStudy, trial: FrozenTrial) -> str:
    """The values of `trial` that differ from the recipe's own, in a few words."""
    if trial.number == DEFAULT:
        return "(the recipe's own settings)"
    changed = {path: value for path, value in trial.params.items() if value != study.space.defaults[path]}
    return ", ".join(f"{path}={round_off(value)}" for path, value in changed.items())


def round_off(value: object) -> str:
    """`value` with at most four digits, for reading."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@contextmanager
def trials_bar(study: SharedStudy, objective: str) -> Iterator[TrialsBar]:
    """A bar that is redrawn in place on a terminal, and every 10 s in a log."""
    terminal = sys.stderr.isatty()
    total = study.trials * STEPS
    with tqdm(total=total, bar_format=_FORMAT, dynamic_ncols=terminal, file=sys.stderr, mininterval=1e9) as bar:
        yield TrialsBar(bar, study, objective)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
