"""`latentd search` as people use it: killed, resumed, shared, and better than the recipe."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from runtime.generator import Generator
from runtime.store import DirectoryStore
from tests.unit.trainer.runs import TINY
from trainer.recipe import Recipe
from trainer.search.journal import LockedJournal
from trainer.search.study import STARTS, WORKER

SPACE = """
generator_optimizer.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
ema.decay: [0.9, 0.99, 0.999]
"""
FASTER_S = 15 * 60.0


class Search:
    """A folder, and commands on it."""

    def __init__(self, root: Path, *arguments: str) -> None:
        self.run, self.store = root / "search", root / "models"
        self._root = root
        self._arguments = ["--run", str(self.run), "--store", str(self.store), *arguments]

    def start(self, name: str) -> "subprocess.Popen[bytes]":
        """One more command on the folder, with its output in the file `name`."""
        command = [sys.executable, "-m", "trainer.search", "digits-cgan", *self._arguments]
        with (self._root / name).open("wb") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def log(self, name: str) -> str:
        """What the command called `name` has said."""
        return (self._root / name).read_text(errors="replace")

    def trials(self) -> list[FrozenTrial]:
        """What the journal says."""
        if not (self.run / "study.jsonl").exists():
            return []
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        storage = JournalStorage(LockedJournal(self.run / "study.jsonl"))
        return optuna.load_study(storage=storage, study_name="search").trials

    def results(self) -> dict[str, Any]:
        """`results.json`."""
        content: dict[str, Any] = json.loads((self.run / "results.json").read_text())
        return content


def wait_for(reached: Callable[[], bool], process: "subprocess.Popen[bytes]", seconds: float) -> None:
    """Until `reached`, which must be before `process` ends."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert process.poll() is None, "the command ended first"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Those that are over."""
    return [trial for trial in trials if trial.state.is_finished()]


def kill(process: "subprocess.Popen[bytes]") -> None:
    """As the system does when memory runs out."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.timeout(600)
def test_a_killed_search_is_finished_by_two_commands(tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    settings = [part for setting in (*TINY, "budget.images=4000") for part in ("--set", setting)]
    search = Search(tmp_path, "--space", str(space), "--trials", "4", "--confirm", "1", "--pruning", "none", *settings)
    first = search.start("first")
    values = search.run / "trials" / "0001" / "values.jsonl"
    wait_for(lambda: values.exists() and values.stat().st_size > 0, first, 280)
    kill(first)
    (finished,) = ended(search.trials())
    score = (search.run / "trials" / "0000" / "score.json").stat()

    commands = {name: search.start(name) for name in ("second", "third")}
    codes = {name: process.wait(280) for name, process in commands.items()}
    assert codes == {"second": 0, "third": 0}, search.log("second") + search.log("third")

    trials = search.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 4
    assert trials[0] == finished  # nothing that was finished is done again
    assert (search.run / "trials" / "0000" / "score.json").stat().st_mtime_ns == score.st_mtime_ns
    assert trials[1].user_attrs[STARTS] == 2  # what the dead worker had begun goes on
    assert len({trial.user_attrs[WORKER] for trial in trials}) == 3
    assert len({tuple(trial.params.values()) for trial in trials}) == 4

    results = search.results()
    best = min(trials, key=lambda trial: trial.value or 0.0)
    assert results["best"] == best.number
    name, _, version = results["package"].partition("@")
    package = DirectoryStore(search.store).open(name, int(version))
    Generator(package, "fp32")
    recipe = Recipe.model_validate(package.manifest.provenance.config)
    assert recipe.package.search is not None
    assert recipe.package.search.default == finished.value
    assert (search.run / "report.html").read_text().startswith("<!doctype html>")
    assert len(list(search.store.glob("*/[0-9]*"))) == 1  # both commands publish the same package once


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_trials_beat_the_recipe_within_a_quarter_of_an_hour(tmp_path: Path) -> None:
    """On two idle cores, with a SIGKILL on the way; the recipe's own budget holds in every training."""
    search = Search(tmp_path, "--trials", "20", "--workers", "2")
    begun = time.monotonic()
    first = search.start("first")
    wait_for(lambda: len(ended(search.trials())) >= 5, first, FASTER_S)
    kill(first)
    before = ended(search.trials())
    second = search.start("second")
    assert second.wait(FASTER_S) == 0, search.log("second")
    seconds = time.monotonic() - begun
    trials = search.trials()
    assert len(ended(trials)) == 20
    assert [trials[trial.number] for trial in before] == before
    assert sum(trial.state is TrialState.COMPLETE for trial in trials) >= 3
    confirmation = search.results()["confirmation"]
    print(search.log("second"), f"{seconds:.0f} s")
    assert mean(confirmation["best"]) < mean(confirmation["default"])
    assert seconds < FASTER_S
