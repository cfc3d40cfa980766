"""The study of seeds: one conditional recipe, several budgets and seeds, and the targets its medians have to meet."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from trainer.results.kept import key_of, read_kept, training_key, write_kept
from trainer.results.order import Order
from trainer.results.runs import train_recipe
from trainer.results.yardstick import Measured, Yardstick

DEFAULT_RECIPE = "cgan"


@dataclass(frozen=True)
class Row:
    """One run; `measured` is None where the trainer gave up, and `verdict` says why."""

    minutes: float
    seed: int
    images: int
    seconds: float
    verdict: str
    measured: Measured | None


@dataclass(frozen=True)
class Column:
    """One number of the table.

    Attributes:
        value: of what was measured, with what real images score beside it; NaN where there is none.
        form: how it is written, as in f-strings.
        at_most: whether a target is an upper bound; else a lower one.
        targets: by minutes of training, on MNIST with two cores.
    """

    title: str
    value: Callable[[Measured, Measured], float]
    form: str
    targets: dict[float, float]
    at_most: bool = False

    def met(self, minutes: float, value: float) -> bool | None:
        """Whether `value` meets the target, None where there is none."""
        if minutes not in self.targets:
            return None
        return value <= self.targets[minutes] if self.at_most else value >= self.targets[minutes]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


COLUMNS = (
    Column("labels", lambda ours, _: _number(ours.classes.accuracy), ".2%", {2: 0.985, 5: 0.99}),
    Column("Fréchet", lambda ours, _: ours.likeness.frechet, ".3g", {}),
    Column("×", lambda ours, real: ours.likeness.frechet / real.likeness.frechet, ".2f", {5: 2.0, 10: 1.6}, True),
    Column("coverage", lambda ours, _: ours.likeness.coverage, ".3f", {2: 0.93, 5: 0.95}),
    Column("recall", lambda ours, _: ours.likeness.recall, ".3f", {10: 0.92}),
    Column("TSTR", lambda ours, _: _number(ours.classes.student), ".2%", {2: 0.965, 5: 0.975, 10: 0.982}),
    Column("balance", lambda ours, _: ours.classes.imbalance, ".1%", {2: 0.03, 5: 0.03, 10: 0.03}, True),
)


@dataclass(frozen=True)
class Run:
    """One seed of `recipe` on a budget. The recipe's own device settings hold; its learning rate follows the budget."""

    order: Order
    yardstick: Yardstick
    recipe: str
    minutes: float
    seed: int

    def train(self) -> None:
        """Train, unless that is done or measured already.

        Raises:
            RunError: the training was stopped by a signal.
            ConfigError: no such recipe.
        """
        if self._kept() is None:
            click.echo(f"{self.recipe}, {self.minutes:g} min, seed {self.seed}")
            train_recipe(self.recipe, self._folder, self._settings)

    def measured(self) -> Row:
        """What was trained, measured now or by an earlier command."""
        kept = self._kept()
        if kept is not None:
            return kept
        trained = train_recipe(self.recipe, self._folder, self._settings)
        measured = None if trained.package is None else self.yardstick.measure(trained.package)
        row = Row(self.minutes, self.seed, trained.images, trained.seconds, trained.verdict, measured)
        write_kept(self._figures, self._key, row)
        return row

    def _kept(self) -> Row | None:
        return read_kept(self._figures, self._key, Row)

    @property
    def _settings(self) -> tuple[str, ...]:
        return (*self.order.settings(self.minutes), f"seed={self.seed}")

    @property
    def _training(self) -> str:
        return training_key(self.recipe, self._settings, self.yardstick.data.fingerprint())

    @property
    def _key(self) -> str:
        return key_of(self._training, self.order.samples)

    @property
    def _name(self) -> str:
        return f"{self.recipe}-{self.minutes:g}min-{self.seed}"

    @property
    def _folder(self) -> Path:
        return self.order.folder / "seeds" / f"{self._name}-{self._training[:8]}"

    @property
    def _figures(self) -> Path:
        return self.order.figures / "seeds" / f"{self._name}.json"


def section(order: Order, yardstick: Yardstick) -> Iterator[str]:
    """One table for each of `order.recipes`, or for cgan, after each new row.

    All are trained before the first is measured: budgets are of time, and measuring would share the cores.

    Raises:
        RunError: a training was stopped by a signal.
        ConfigError: no such recipe.
    """
    runs = [
        Run(order, yardstick, recipe, minutes, seed)
        for recipe in order.recipes or (DEFAULT_RECIPE,)
        for minutes in sorted(order.seed_minutes)
        for seed in order.seeds
    ]
    for run in runs:
        run.train()
    rows: dict[str, list[Row]] = {}
    for run in runs:
        rows.setdefault(run.recipe, []).append(run.measured())
        yield render(order.data_path.name, yardstick, rows)


def render(data: str, yardstick: Yardstick, rows: dict[str, list[Row]]) -> str:
    """The whole section."""
    lines = [
        "## Seeds",
        "",
        f"One conditional recipe on {data}, several budgets and seeds, one run after the other on all cores. Fréchet, "
        f"coverage and recall are of {yardstick.samples:,} generated images. Labels, TSTR and balance are of "
        f"{len(yardstick.data.train):,}, as many as there are training images; balance is the largest relative "
        "difference of a class's share among the judge's answers from the share that was asked for, which is that of "
        "the training images. Medians carry a mark where there is a target (set for MNIST on two cores): ✓ met, "
        "✗ missed.",
    ]
    for recipe, found in rows.items():
        if found:
            lines += ["", f"### `{recipe}`", "", *_table(found, yardstick.real)]
    return "\n".join(lines) + "\n"


def _table(rows: Sequence[Row], real: Measured) -> list[str]:
    lines = [
        f"| minutes | seed | images/s | {' | '.join(column.title for column in COLUMNS)} |",
        f"|--:|:--|--:|{'--:|' * len(COLUMNS)}",
        f"| | *real images* | | {_cells(real, real)} |",
    ]
    for minutes in dict.fromkeys(row.minutes for row in rows):
        group = [row for row in rows if row.minutes == minutes]
        for row in group:
            cells = row.verdict + " |" * (len(COLUMNS) - 1)
            if row.measured is not None:
                cells = _cells(row.measured, real)
            lines.append(f"| {minutes:g} | {row.seed} | {row.images / max(row.seconds, 1e-9):,.0f} | {cells} |")
        measured = [row.measured for row in group if row.measured is not None]
        if measured:
            lines.append(f"| {minutes:g} | **median** | | {_medians(minutes, measured, real)} |")
        targets = [_target(column, minutes) for column in COLUMNS]
        if any(targets):
            lines.append(f"| {minutes:g} | *target* | | {' | '.join(targets)} |")
    return lines


def _cells(ours: Measured, real: Measured) -> str:
    return " | ".join(format(column.value(ours, real), column.form) for column in COLUMNS)


def _medians(minutes: float, measured: Sequence[Measured], real: Measured) -> str:
    cells = []
    for column in COLUMNS:
        value = median(column.value(ours, real) for ours in measured)
        met = column.met(minutes, value)
        mark = "" if met is None else " ✓" if met else " ✗"
        cells.append(f"**{format(value, column.form)}**{mark}")
    return " | ".join(cells)


def _target(column: Column, minutes: float) -> str:
    if minutes not in column.targets:
        return ""
    return f"{'≤' if column.at_most else '≥'} {format(column.targets[minutes], column.form)}"
