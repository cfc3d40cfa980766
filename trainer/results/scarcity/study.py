"""The study of scarcity: a few real images of each class, and whether synthetic ones made from them help.

Each cell is a number of real images per class and a seed. Its generators are trained in processes of their own, then
its classifiers in workers. What is done is kept cell by cell, so that a stopped study goes on.
"""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

import click
import torch
from tqdm import tqdm

from trainer.errors import ConfigError
from trainer.results.kept import key_of, read_kept, write_kept
from trainer.results.order import Order
from trainer.results.runs import stop_trainings
from trainer.results.scarcity.arms import Bench, Score
from trainer.results.scarcity.classifier import BATCH, RATE
from trainer.results.scarcity.findings import Findings
from trainer.results.scarcity.generators import Generators
from trainer.results.scarcity.images import CLASSIC as CLASSIC_AUGMENTATION
from trainer.results.scarcity.images import draw_few, other_digits
from trainer.results.scarcity.plan import CLASSIC, Arm, Cell, GeneratorPlan, Plan
from trainer.results.scarcity.plot import write_plot
from trainer.results.scarcity.tables import render
from trainer.results.workers import bench_of_this_process, worker_pool
from trainer.results.yardstick import Yardstick

NAME = "scarcity"
# CPU seconds on the machine of the published table (EPYC with AVX-512 and bf16); elsewhere a first guess.
_PER_IMAGE, _PER_TRAINING, _PER_STEP, _PER_ARM = 1 / 1200, 20.0, 0.012, 1.5


@dataclass(frozen=True)
class KeptCell:
    """Scores of a cell by the key of their arm."""

    scores: dict[str, Score]


def section(order: Order, yardstick: Yardstick, plan: Plan | None = None) -> Iterator[str]:
    """The section of what is there, after each cell that is done.

    Raises:
        ConfigError: fewer than two seeds, of which no interval can be said.
        DataError: no classes, or too few images of one.
        RunError: a training was stopped by a signal, or gave up.
    """
    plan = plan or Plan(sizes=order.per_class, seeds=tuple(range(order.repeats)))
    if len(plan.seeds) < 2:
        raise ConfigError(f"--repeats {len(plan.seeds)}: at least 2 are needed for an interval")
    draw_few(yardstick.data, max(plan.sizes), 0)  # refuses before anything is trained
    if other_digits(yardstick.data.train) is None:
        plan = plan.without_transfer()
    study = Study(order, yardstick, plan)
    click.echo(study.estimate())
    for _ in study.advance():
        yield study.text()


class Study:
    """What is done of a plan, what is missing, and the text about it."""

    def __init__(self, order: Order, yardstick: Yardstick, plan: Plan) -> None:
        self._order, self._plan, self._data = order, plan, yardstick.data
        self._fingerprint = yardstick.data.fingerprint()
        self._folder = order.folder / NAME
        self._generators = Generators(plan, yardstick.data, self._folder)
        self._lock = threading.Lock()
        self._scores = {cell: self._read(cell) for cell in plan.cells}

    def missing(self, cell: Cell) -> list[Arm]:
        """Arms of `cell` that have no score, the one that teaches first where its weights are gone, too."""
        arms = [arm for arm in self._plan.arms if arm.name not in self._scores[cell]]
        teacher = next(arm for arm in self._plan.arms if arm.name == CLASSIC)
        if arms and not self._teacher(cell).exists():
            arms = [teacher, *(arm for arm in arms if arm is not teacher)]
        return arms

    def estimate(self) -> str:
        """How much is missing and how long that takes, in words."""
        arms = {cell: self.missing(cell) for cell in self._plan.cells}
        trainings = [plan.images for cell in arms for plan in self._needed(arms[cell]) if plan.images]
        trainings += [self._plan.parent_images for _ in self._parents(arms)]
        count = sum(map(len, arms.values()))
        seconds = sum(images * _PER_IMAGE + _PER_TRAINING for images in trainings)
        seconds += count * (self._plan.steps * _PER_STEP + _PER_ARM)
        return (
            f"{sum(map(bool, arms.values()))} of {len(arms)} cells to do: {len(trainings)} generators and {count} "
            f"classifiers, about {seconds / 60 / self._order.jobs:.0f} min with {self._order.jobs} at once"
        )

    def advance(self) -> Iterator[None]:
        """Do what is missing, `order.jobs` things at a time; returns after each cell, and once before the first."""
        yield
        torch.set_num_threads(1)
        todo = {cell: self.missing(cell) for cell in self._plan.cells}
        todo = {cell: arms for cell, arms in todo.items() if arms}
        parents = self._parents(todo)
        total = len(parents) + sum(len(arms) + len(self._needed(arms)) for arms in todo.values())
        with (
            worker_pool(self._order.jobs, Bench(self._data, self._plan.steps)) as workers,
            ThreadPoolExecutor(self._order.jobs) as pool,
            tqdm(total=total, unit="part", file=sys.stderr, mininterval=0.2 if sys.stderr.isatty() else 10) as bar,
        ):
            try:
                for parent in as_completed([pool.submit(self._generators.train_parent, seed) for seed in parents]):
                    parent.result()
                    bar.update()
                for done in as_completed([pool.submit(self._do, cell, todo[cell], workers, bar) for cell in todo]):
                    done.result()
                    yield
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                stop_trainings()
                raise

    def text(self) -> str:
        """The whole section, and its plot beside the pictures."""
        findings = Findings(self._plan, {cell: scores for cell, scores in self._scores.items() if scores})
        plot = write_plot(findings, self._order.pictures)
        return render(findings, self._order.data_path.name, f"{self._order.pictures_link}/{plot}")

    def _do(self, cell: Cell, arms: list[Arm], workers: Executor, bar: "tqdm[NoReturn]") -> None:
        """Train the generators of `cell`, then the classifiers of `arms` one by one, and keep each score."""
        packages: dict[GeneratorPlan, Path] = {}
        for plan in self._needed(arms):
            packages[plan] = self._generators.train(plan, cell)
            bar.update()
        for arm in arms:
            plan_of = self._plan.generator_of(arm)
            package = None if plan_of is None else packages[plan_of]
            score = workers.submit(_run, cell, arm, package, self._teacher(cell)).result()
            with self._lock:
                self._scores[cell][arm.name] = score
                self._write(cell)
            bar.update()

    def _needed(self, arms: list[Arm]) -> list[GeneratorPlan]:
        """Generators of `arms`, each once."""
        return list(dict.fromkeys(plan for arm in arms if (plan := self._plan.generator_of(arm))))

    def _parents(self, todo: dict[Cell, list[Arm]]) -> list[int]:
        """Seeds with which a generator of the other digit set is needed."""
        seeds = (cell.seed for cell, arms in todo.items() if any(plan.transfer for plan in self._needed(arms)))
        return list(dict.fromkeys(seeds))

    def _teacher(self, cell: Cell) -> Path:
        key = key_of(self._fingerprint, self._plan.steps, CLASSIC_AUGMENTATION.model_dump())
        return self._folder / f"teacher-{cell.per_class}-{cell.seed}-{key[:8]}.pt"

    def _figures(self, cell: Cell) -> Path:
        return self._order.figures / NAME / f"{cell.per_class}-{cell.seed}.json"

    def _key(self, cell: Cell) -> str:
        return key_of(self._fingerprint, asdict(cell), self._plan.steps, BATCH, RATE, CLASSIC_AUGMENTATION.model_dump())

    def _arm_key(self, cell: Cell, arm: Arm) -> str:
        plan = self._plan.generator_of(arm)
        what = {field: value for field, value in asdict(arm).items() if field != "name"}
        return key_of(what, plan and self._generators.key(plan, cell))

    def _read(self, cell: Cell) -> dict[str, Score]:
        kept = read_kept(self._figures(cell), self._key(cell), KeptCell)
        found = {} if kept is None else kept.scores
        keys = {arm.name: self._arm_key(cell, arm) for arm in self._plan.arms}
        return {name: found[key] for name, key in keys.items() if key in found}

    def _write(self, cell: Cell) -> None:
        keys = {arm.name: self._arm_key(cell, arm) for arm in self._plan.arms}
        scores = {keys[name]: score for name, score in self._scores[cell].items()}
        write_kept(self._figures(cell), self._key(cell), KeptCell(scores))


def _run(cell: Cell, arm: Arm, package: Path | None, teacher: Path) -> Score:
    return bench_of_this_process(Bench).run(cell, arm, package, teacher)
