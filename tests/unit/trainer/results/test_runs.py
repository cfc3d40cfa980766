"""One training in a process of its own: its verdict, and how a call goes on or is stopped."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.unit.trainer.runs import TINY
from trainer.errors import RunError
from trainer.results import runs
from trainer.results.runs import train_recipe


def test_what_the_trainer_says_is_the_verdict(tmp_path: Path) -> None:
    trained = train_recipe("cgan", tmp_path / "run", ["generator.widht=3"])
    assert trained.package is None
    assert "generator.widht" in trained.verdict
    assert not trained.verdict.startswith("Error")
    assert (trained.images, trained.seconds) == (0, 0.0)
    assert trained.wall_seconds > 0
    assert trained.peak_mib > 1


def test_a_finished_run_is_not_started_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = (*TINY, "export.precisions=[fp32]", "device.threads=1")
    first = train_recipe("digits-cgan", tmp_path / "run", settings)
    assert first.verdict == ""
    assert first.package is not None
    assert first.images == 640
    assert first.wall_seconds > first.seconds > 0
    monkeypatch.setattr(runs, "_run", None)
    again = train_recipe("digits-cgan", tmp_path / "run", settings)
    assert again.package is not None
    assert (again.package.manifest, again.wall_seconds) == (first.package.manifest, first.wall_seconds)


def test_memory_is_that_of_the_process_alone(tmp_path: Path) -> None:
    ballast = bytearray(os.urandom(1 << 20)) * 200
    runs._run([sys.executable, "-c", "import time; time.sleep(0.5)"], tmp_path)
    assert 1 < runs._used(tmp_path)[1] < 100
    assert len(ballast) == 200 << 20


def test_time_of_several_processes_adds_up(tmp_path: Path) -> None:
    for _ in range(2):
        assert runs._run([sys.executable, "-c", "import time; time.sleep(0.2); exit('no')"], tmp_path) == "no"
    assert runs._used(tmp_path)[0] > 0.4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_stopped_is_no_verdict(tmp_path: Path, number: int) -> None:
    with pytest.raises(RunError, match=r"stopped by SIG.*the same command goes on"):
        runs._run([sys.executable, "-c", f"import os; os.kill(os.getpid(), {int(number)})"], tmp_path)
    with pytest.raises(RunError):
        runs._run([sys.executable, "-c", f"exit({128 + number})"], tmp_path)


def test_an_interrupted_call_ends_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = os.wait4
    calls = []

    def interrupted(pid: int, options: int) -> object:
        calls.append(pid)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return wait(pid, options)

    monkeypatch.setattr(os, "wait4", interrupted)
    with pytest.raises(KeyboardInterrupt):
        runs._run([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path)
    assert len(set(calls)) == 1
    assert not runs._running
