"""The process of one training: ``python -m trainer.search.trial FOLDER PARENT``, started by a worker.

It resumes what is in the folder, measures the objective on the way, and writes `score.json` last. SIGTERM, and the
death of its parent, make it save and end.
"""

import ctypes
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a signal may come before all of this is loaded
    from trainer.checkpoints import Position
    from trainer.search.folder import Outcome, TaskFolder

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run_task(path: Path) -> int:
    """Train what the folder `path` asks for, to the end or until a signal; the exit code."""
    from trainer.errors import CollapseError, TrainerError
    from trainer.run_folder import RunFolder
    from trainer.search.folder import Outcome, TaskFolder

    folder = TaskFolder(path)
    try:
        outcome = _train(folder)
    except CollapseError:
        last = RunFolder(path).read_alarms()[-1]
        verdict = f"collapsed after {last['images']:,} images: {'; '.join(last['reasons'])}"
        outcome = Outcome(verdict=verdict, collapsed=True)
    except TrainerError as error:
        outcome = Outcome(verdict=str(error))
    if isinstance(outcome, int):
        return outcome
    folder.finish(outcome)
    return 0


def _train(folder: "TaskFolder") -> "Outcome | int":
    """How it ended, or the exit code of the signal that interrupted it."""
    from trainer.data import open_data
    from trainer.device import make_fabric
    from trainer.evaluation.judge import trained_judge
    from trainer.loop import Loop
    from trainer.run_folder import RunFolder
    from trainer.search.folder import Outcome
    from trainer.search.objective import HeldOut
    from trainer.signals import stop_on_signals
    from trainer.training import resolve

    task, run = folder.task(), RunFolder(folder.path)
    recipe = resolve(task.recipe, task.settings)
    with run.locked():
        run.adopt(recipe)
        data = open_data(recipe.data, run.images)
        held_out = HeldOut(data, trained_judge(data, folder.search.path))
        fabric = make_fabric(recipe.device, data.train.spec)
        fabric.seed_everything(recipe.seed, verbose=False)
        system = recipe.system.build(recipe, data.train.spec, fabric)
        loop = Loop(recipe, data, system, run, fabric)
        measured = folder.read_values()

        def score() -> dict[str, float]:
            generator = system.averaged_generator(recipe.ema.statistics_images)
            return asdict(held_out.score(generator, task.first_seed))

        def look(_position: "Position") -> None:
            step = int(loop.progress * task.steps)
            if 0 < step < task.steps and step not in measured:
                loop.save()  # before the value, so that a resumed run has no value ahead of its state
                measured[step] = score()
                folder.log_values(step, measured[step])

        with stop_on_signals() as stop:
            finished = loop.run(stop, look)
        if not finished:
            return stop.exit_code
        _, position = loop.settle()
        scores = score()
        folder.log_values(task.steps, scores)
        return Outcome(scores, images=position["images"], seconds=round(position["seconds"], 3))


def _end_with(parent: int) -> None:
    """Have the kernel send SIGTERM when the worker dies, where it can (Linux)."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before
        sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    _end_with(int(sys.argv[2]))
    sys.exit(run_task(Path(sys.argv[1])))
