"""The study of seeds: one conditional recipe, several budgets and seeds, and the targets its medians have to meet."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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


def section(order: Order, yardstick: Yardstick) -> Iterator[str]:
    """One table for each of `order.recipes`, or for cgan, after each new row.

    Raises:
        RunError: a training was stopped by a signal.
        ConfigError: no such recipe.
    """
    recipes = order.recipes or (DEFAULT_RECIPE,)
    rows: dict[str, list[Row]] = {recipe: [] for recipe in recipes}
    for recipe in recipes:
        for minutes in sorted(order.seed_minutes):
            for seed in order.seeds:
                rows[recipe].append(measure(order, yardstick, recipe, minutes, seed))
                yield render(order.data_path.name, yardstick, rows)


def measure(order: Order, yardstick: Yardstick, recipe: str, minutes: float, seed: int) -> Row:
    """Train and measure one seed, or take what an earlier command has measured.

    The recipe's own device settings hold, and its learning rate follows the budget.
    """
    settings = (*order.settings(minutes), f"seed={seed}")
    training = training_key(recipe, settings, yardstick.data.fingerprint())
    run = order.folder / "seeds" / f"{recipe}-{minutes:g}min-{seed}-{training[:8]}"
    figures, key = order.figures / "seeds" / f"{recipe}-{minutes:g}min-{seed}.json", key_of(training, order.samples)
    kept = read_kept(figures, key, Row)
    if kept is not None:
        return kept
    click.echo(f"{recipe}, {minutes:g} min, seed {seed}")
    trained = train_recipe(recipe, run, settings)
    measured = None if trained.package is None else yardstick.measure(trained.package)
    row = Row(minutes, seed, trained.images, trained.seconds, trained.verdict, measured)
    write_kept(figures, key, row)
    return row


def render(data: str, yardstick: Yardstick, rows: dict[str, list[Row]]) -> str:
    """The whole section."""
    lines = [
        "## Seeds",
        "",
        f"One conditional recipe on {data}, several budgets and seeds, one run after the other on all cores. Fréchet, "
        f"coverage and recall are of {yardstick.samples:,} generated images. Labels, TSTR and balance are of "
        f"{len(yardstick.data.train):,}, as many as there are training images; balance is the largest relative "
        "difference of a class's share among the judge's answers from the even share that was asked for. Medians carry "
        "a mark where there is a target (set for MNIST on two cores): ✓ met, ✗ missed.",
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
