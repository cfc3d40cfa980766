"""The study of learning rates: Adam, SGD and conjugate gradients over a grid for generator and discriminator
(Naganuma and Iiduka 2023, section 5), with and without GAT's λ · L_conj."""

import json
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from trainer.data import DataSplit
from trainer.evaluation.judge import Judge
from trainer.results.kept import key_of, read_kept, write_kept
from trainer.results.learning_rates.findings import Result
from trainer.results.learning_rates.runs import OPTIMIZERS, Bench, Outcome, Run, Setting
from trainer.results.learning_rates.tables import Frame, render
from trainer.results.workers import bench_of_this_process, worker_pool

WEIGHTS = (0.0, 0.1)
"""λ: without, and as in the recipes."""

# In short trials with equal rates the best was a step above the centre: 4.5e-3 of Adam, 0.1 of SGD and FR-PRP.
_CENTRES = {"Adam": 1.5e-3}
_CENTRE = 1 / 30
_FACTOR = 3.0
_DECIDES: dict[str, Any] = {
    **dict.fromkeys(("seed", "system", "generator", "discriminator", "objective", "regularizers"), True),
    **dict.fromkeys(("generator_optimizer", "discriminator_optimizer"), True),
    "ema": {"decay"},
    "training": {"batch_size"},
}


@dataclass(frozen=True)
class Plan:
    """What the study does; the default is the one of the published table.

    Attributes:
        steps: of every run, and of Adam in the equal time.
        samples: generated images per score.
        rates: learning rates of each network, by a factor of 3 around the centre for the optimizer; odd.
    """

    steps: int = 800
    samples: int = 1000
    rates: int = 5
    optimizers: tuple[str, ...] = OPTIMIZERS
    weights: tuple[float, ...] = WEIGHTS

    @property
    def settings(self) -> list[Setting]:
        """Rows of the table; the first is what times are relative to."""
        return [Setting(optimizer, weight) for optimizer in self.optimizers for weight in self.weights]

    @property
    def runs(self) -> list[Run]:
        """All of them, from large to small rates, each setting at one pair of rates before the next pair."""
        places = range(self.rates)[::-1]
        return [
            Run(setting, self.rates_of(setting.optimizer)[i], self.rates_of(setting.optimizer)[j])
            for i in places
            for j in places
            for setting in self.settings
        ]

    def rates_of(self, optimizer: str) -> list[float]:
        """The learning rates of either network, from small to large."""
        centre = _CENTRES.get(optimizer, _CENTRE)
        return [float(f"{centre * _FACTOR ** (place - self.rates // 2):.3g}") for place in range(self.rates)]


@dataclass(frozen=True)
class Clock:
    """CPU time of a step of each setting of a plan, relative to the first."""

    relative: list[float]


def section(data: DataSplit, judge: Judge, folder: Path, plan: Plan | None = None, workers: int | None = None) -> str:
    """Markdown with a second-level heading; what was run before is taken from `folder`.

    Args:
        workers: processes, each on one thread; None: one per core.
    """
    plan = plan or Plan()
    workers = workers or len(os.sched_getaffinity(0))
    kept = _Kept(folder / "learning-rates", data.fingerprint())
    with worker_pool(workers, Bench(data, judge, plan.samples)) as pool:
        clock = _clock(pool, plan, kept)
        limits = {
            setting: round(plan.steps / relative)
            for setting, relative in zip(plan.settings, clock.relative, strict=True)
        }
        keys = {run: kept.key(run, plan.steps, limits[run.setting], plan.samples) for run in plan.runs}
        missing = [run for run, key in keys.items() if kept.outcome(key) is None]
        futures = {pool.submit(_run, run, plan.steps, limits[run.setting]): run for run in missing}
        with tqdm(total=len(keys), initial=len(keys) - len(missing), unit="run", file=sys.stderr,
                  mininterval=0.2 if sys.stderr.isatty() else 10) as bar:  # fmt: skip
            for future in as_completed(futures):
                run = futures[future]
                kept.append(keys[run], run, future.result())
                bar.update()
    results = [Result(run, outcome) for run, key in keys.items() if (outcome := kept.outcome(key))]
    relative = dict(zip(plan.settings, clock.relative, strict=True))
    rates = {optimizer: plan.rates_of(optimizer) for optimizer in plan.optimizers}
    return render(Frame(plan.steps, plan.samples, rates, relative), results)


class _Kept:
    """Outcomes, one JSON object per line; the last line may be cut short by whatever ended the process."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._fingerprint = folder, fingerprint
        self._path = folder / "runs.jsonl"
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        self._outcomes = dict(entry for line in lines if (entry := _entry(line)))

    def key(self, run: Run, *conditions: int) -> str:
        return key_of(run.recipe.model_dump(mode="json", include=_DECIDES), conditions, self._fingerprint)

    def outcome(self, key: str) -> Outcome | None:
        return self._outcomes.get(key)

    def append(self, key: str, run: Run, outcome: Outcome) -> None:
        self._outcomes[key] = outcome
        with self._path.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps({"key": key, "run": asdict(run), "outcome": asdict(outcome)}))

    def clock(self, key: str) -> Clock | None:
        return read_kept(self._folder / "clock.json", key, Clock)

    def keep_clock(self, key: str, clock: Clock) -> None:
        write_kept(self._folder / "clock.json", key, clock)


def _entry(line: str) -> tuple[str, Outcome] | None:
    try:
        found: dict[str, Any] = json.loads(line)
        return found["key"], Outcome(**found["outcome"])
    except (ValueError, KeyError, TypeError):
        return None


def _clock(pool: ProcessPoolExecutor, plan: Plan, kept: _Kept) -> Clock:
    """Measured once and kept, since the steps that fit into the equal time follow from it."""
    runs = [Run(each, min(plan.rates_of(each.optimizer)), min(plan.rates_of(each.optimizer))) for each in plan.settings]
    key = key_of([kept.key(run) for run in runs])
    clock = kept.clock(key)
    if clock is None:
        clock = Clock(pool.submit(_seconds_per_step, runs).result())
        kept.keep_clock(key, clock)
    return clock


def _run(run: Run, equal_steps: int, equal_time: int) -> Outcome:
    return bench_of_this_process(Bench).run(run, equal_steps, equal_time)


def _seconds_per_step(runs: Sequence[Run]) -> list[float]:
    return bench_of_this_process(Bench).seconds_per_step(runs)
