"""The study of all recipes: the same images and the same time for each, measured with the same numbers."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from importlib.resources import files
from pathlib import Path

import click
import torch
import yaml

from runtime.package import Package
from trainer.data import open_data
from trainer.recipe import Recipe
from trainer.recipes import recipe_names
from trainer.results.kept import key_of, read_kept, training_key, write_kept
from trainer.results.motion import MeasuredMotion, measure_motion
from trainer.results.order import Order
from trainer.results.pictures import write_picture
from trainer.results.recipe_tables import Frame, Row, render
from trainer.results.runs import TrainedRun, stop_trainings, train_recipe
from trainer.results.yardstick import Yardstick
from trainer.training import resolve


def section(order: Order, yardstick: Yardstick) -> Iterator[str]:
    """The section of `order.recipes`, or of all recipes, after each new row; with what was measured before of others,
    whatever their minutes.

    Raises:
        RunError: a training was stopped by a signal.
        ConfigError: no such recipe.
    """
    bench = Bench(order, yardstick)
    wanted = order.recipes or tuple(recipe_names())
    rows = {recipe: bench.kept(recipe) for recipe in dict.fromkeys((*recipe_names(), *wanted))}
    frame = _frame(order, yardstick)

    def text() -> str:
        found = [row for row in rows.values() if row is not None]
        sequences = {row.recipe for row in found if bench.recipe(row.recipe).data.moving is not None}
        return render(
            frame,
            [row for row in found if row.recipe not in sequences],
            [row for row in found if row.recipe in sequences],
        )

    yield text()
    missing = [recipe for recipe in wanted if not bench.is_as_ordered(rows[recipe])]
    for row in _together(bench.row, missing, order.jobs):
        rows[row.recipe] = row
        yield text()


class Bench:
    """Trains a recipe on the order's images, measures it, and keeps the row."""

    def __init__(self, order: Order, yardstick: Yardstick) -> None:
        self._order, self._yardstick = order, yardstick
        self._lock = threading.Lock()

    def recipe(self, name: str) -> Recipe:
        """The recipe as it is trained here."""
        return resolve(name, self._settings(self._order.minutes, self._order.jobs))

    def is_as_ordered(self, row: Row | None) -> bool:
        """Whether `row` needs no other measurement."""
        return row is not None and (row.minutes, row.at_once) == (self._order.minutes, self._order.jobs)

    def kept(self, name: str) -> Row | None:
        """What was measured before with the recipe as it is now, if its picture is still there."""
        row = read_kept(self._figures(name), lambda row: self._key(name, row.minutes, row.at_once), Row)
        if row is None or (row.picture and not (self._order.pictures / row.picture).exists()):
            return None
        return row

    def row(self, name: str) -> Row:
        """Train and measure; a training that is finished is not repeated."""
        click.echo(f"recipe {name}")
        minutes, jobs = self._order.minutes, self._order.jobs
        run = self._order.folder / "recipes" / f"{name}-{self._training_key(name, minutes, jobs)[:8]}"
        trained = train_recipe(name, run, self._settings(minutes, jobs))
        with self._lock:
            row = self._measured(name, trained)
        write_kept(self._figures(name), self._key(name, minutes, jobs), row)
        return row

    def _settings(self, minutes: float, jobs: int) -> tuple[str, ...]:
        settings = self._order.settings(minutes)
        return (*settings, "device.threads=1") if jobs > 1 else settings

    def _figures(self, name: str) -> Path:
        return self._order.figures / "recipes" / f"{name}.json"

    def _training_key(self, name: str, minutes: float, jobs: int) -> str:
        return training_key(name, self._settings(minutes, jobs), self._yardstick.data.fingerprint())

    def _key(self, name: str, minutes: float, jobs: int) -> str:
        return key_of(self._training_key(name, minutes, jobs), self._order.samples)

    def _measured(self, name: str, trained: TrainedRun) -> Row:
        order = (self._order.minutes, self._order.jobs)
        begun = (name, *order, trained.images, trained.seconds, trained.wall_seconds, trained.peak_mib)
        package = trained.package
        if package is None:
            return Row(*begun, trained.verdict)
        error = package.manifest.evaluation.get("reconstruction_error")
        shape = package.manifest.output.shape
        moving, comparable = len(shape) == 4, shape == self._yardstick.data.train.images.shape[1:]
        return Row(
            *begun,
            measured=self._yardstick.measure(package) if comparable else None,
            motion=self._motion(name, package) if moving else None,
            reconstruction=None if error is None else error.value,
            picture=write_picture(package, self._order.pictures, name),
        )

    def _motion(self, name: str, package: Package) -> MeasuredMotion:
        sequences = open_data(self.recipe(name).data)
        return measure_motion(package, sequences, self._order.samples, self._order.folder)


def _together(measure: Callable[[str], Row], recipes: Sequence[str], jobs: int) -> Iterator[Row]:
    """Rows in the order in which they are ready, `jobs` trainings at a time; all stop with the first that raises."""
    if jobs > 1:
        torch.set_num_threads(1)  # what is measured takes no more from a neighbour than training does
    with ThreadPoolExecutor(jobs) as pool:
        rows = [pool.submit(measure, recipe) for recipe in recipes]
        try:
            for row in as_completed(rows):
                yield row.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_trainings()
            raise


def _frame(order: Order, yardstick: Yardstick) -> Frame:
    return Frame(
        conditions=(
            f"Every recipe was trained on {order.data_path.name} with seed 0, one run each, for at most the minutes "
            "that the table says: on one core, with another recipe beside it, or on all cores."
        ),
        samples=yardstick.samples,
        training_images=len(yardstick.data.train),
        real=yardstick.real,
        pictures=order.pictures_link,
        remarks=remarks(),
    )


def remarks() -> dict[str, str]:
    """Sentences written by hand about the sample grids, by recipe."""
    path = files("trainer.results") / "remarks.yaml"
    found: dict[str, str] = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found or {}
