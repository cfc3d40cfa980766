"""The study of mode coverage: how many pairs of stacked digits a generator finds that is told of no classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click
import numpy as np
from numpy.typing import NDArray

from runtime.generator import Generator
from trainer.data.stacked_digits import DIGITS, StackedDigitsConfig, stacked_digits
from trainer.evaluation.judge import Judge
from trainer.evaluation.modes import Modes, count_modes
from trainer.results.kept import key_of, read_kept, training_key, write_kept
from trainer.results.order import Order
from trainer.results.pictures import write_picture
from trainer.results.runs import train_recipe
from trainer.results.yardstick import Yardstick, draw

RECIPES = ("dcgan", "pacgan", "r3gan-small")
IMAGES = 50_000
ALIKE = (
    "generator.width=128",
    "training.batch_size=32",
    "generator_optimizer.learning_rate=0.001",
    "discriminator_optimizer.learning_rate=0.001",
)
"""The same for all recipes: many and long steps, for a few minutes on one core."""

DIVERGENCE = 0.1
"""Target: some recipe finds all modes with less than this."""

_SETTINGS = (
    f"data.stacked={{images: {IMAGES}}}",
    "conditional=false",
    "device.threads=1",
    "evaluation={samples: 500, real_images: 500, nearest_images: 500}",  # not what is asked here
)


@dataclass(frozen=True)
class Row:
    """One recipe; `coverage` and `picture`, a file name, are None where the trainer gave up, and `verdict` says why."""

    recipe: str
    images: int
    seconds: float
    verdict: str
    coverage: Modes | None
    picture: str | None


def section(order: Order, yardstick: Yardstick) -> Iterator[str]:
    """The table of `order.recipes`, or of `RECIPES`, after each new row.

    Raises:
        DataError: the images are not grey digits.
        RunError: a training was stopped by a signal.
        ConfigError: no such recipe.
    """
    bench = Bench(order, yardstick)
    rows: list[Row] = []
    for recipe in order.recipes or RECIPES:
        rows.append(bench.row(recipe))
        yield render(order, bench.modes, bench.real, rows)


class Bench:
    """Trains a recipe on stacked digits, and counts its modes.

    Attributes:
        modes: pairs of classes.
        real: what held-out images score, the floor of every row.
    """

    def __init__(self, order: Order, yardstick: Yardstick) -> None:
        self._order, self._judge = order, yardstick.judge
        self._data = stacked_digits(yardstick.data, StackedDigitsConfig(images=IMAGES))
        self._classes = yardstick.data.train.spec.classes
        self.modes = self._classes**DIGITS
        self._shares = np.bincount(self._data.train.labels, minlength=self.modes) / IMAGES
        self.real = self._coverage(self._data.held_out.at_most(order.samples).images)

    def row(self, recipe: str) -> Row:
        """Train and measure, or take what an earlier command has measured if its picture is still there."""
        settings = (*self._order.settings(self._order.minutes), *_SETTINGS, *ALIKE)
        training = training_key(recipe, settings, self._data.fingerprint())
        run = self._order.folder / "modes" / f"{recipe}-{training[:8]}"
        figures, key = self._order.figures / "modes" / f"{recipe}.json", key_of(training, self._order.samples)
        kept = read_kept(figures, key, Row)
        if kept is not None and (kept.picture is None or (self._order.pictures / kept.picture).exists()):
            return kept
        click.echo(f"modes of {recipe}")
        trained = train_recipe(recipe, run, settings)
        coverage, picture = None, None
        if trained.package is not None:
            unlabelled = np.zeros(self._order.samples, np.int64)
            coverage = self._coverage(draw(Generator(trained.package, "fp32"), unlabelled))
            picture = write_picture(trained.package, self._order.pictures, f"modes-{recipe}")
        row = Row(recipe, trained.images, trained.seconds, trained.verdict, coverage, picture)
        write_kept(figures, key, row)
        return row

    def _coverage(self, images: NDArray[np.uint8]) -> Modes:
        return count_modes(modes_of(images, self._judge, self._classes), self._shares)


def modes_of(images: NDArray[np.uint8], judge: Judge, classes: int) -> NDArray[np.int64]:
    """The mode of each stacked image, int64 ``[n]``: a judge of single digits reads each channel by itself.

    Args:
        images: ``[n, H, W, 3]``.
    """
    modes = np.zeros(len(images), np.int64)
    for channel in range(DIGITS):
        modes = modes * classes + judge.predict(np.ascontiguousarray(images[..., channel : channel + 1]))
    return modes


def render(order: Order, modes: int, real: Modes, rows: Sequence[Row]) -> str:
    """The whole section."""
    alike = ", ".join(f"`{setting}`" for setting in ALIKE)
    lines = [
        "## Modes",
        "",
        f"Stacked digits (Metz et al. 2017): colour images with one digit of {order.data_path.name} in the red channel "
        f"and one in the green, {modes} modes, composed of {IMAGES:,} pairs of training digits. No recipe is told of "
        f"classes; each was trained for at most {order.minutes:g} min on one thread, seed 0, one after the other, with "
        f"{alike}. The judge of single digits reads both channels of {order.samples:,} generated images; a mode is "
        "found when one of them shows it. KL is KL(generated ‖ training images) over the modes, in nats (Srivastava et "
        f"al. 2017, Lin et al. 2018). Real: {real.samples:,} images of held-out digits.",
        "",
        f"| recipe | images/s | trained | modes of {modes} | KL | samples |",
        "|---|--:|--:|--:|--:|---|",
        f"| *real images* | | | {_cells(real)} | |",
    ]
    for row in rows:
        speed, measured, picture = row.images / max(row.seconds, 1e-9), f"{row.verdict} |", ""
        if row.coverage is not None:
            measured, picture = _cells(row.coverage), f"[grid](<{order.pictures_link}/{row.picture}>)"
        lines.append(f"| `{row.recipe}` | {speed:,.0f} | {row.images:,} | {measured} | {picture} |")
    meet = [f"`{row.recipe}`" for row in rows if row.coverage is not None and _meets(row.coverage, modes)]
    by = f"met by {', '.join(meet)}" if meet else "missed"
    lines += ["", f"Target: all {modes} modes and a KL below {DIVERGENCE:g} by one recipe at least: {by}."]
    return "\n".join(lines) + "\n"


def _cells(coverage: Modes) -> str:
    return f"{coverage.found} | {coverage.divergence:.3f}"


def _meets(coverage: Modes, modes: int) -> bool:
    return coverage.found == modes and coverage.divergence < DIVERGENCE
