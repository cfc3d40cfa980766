"""Train every recipe on one data set, measure it, write `trainer/RESULTS.md`: `make results`.

Resumable: a recipe that was measured with the same settings on the same images is not trained again, and a run
that was interrupted goes on where it stopped.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np

from runtime.atomic import write_atomic
from runtime.generator import Generator
from runtime.latents import row_seeds
from runtime.package import Package
from trainer.config import parse
from trainer.data import DataConfig, DataSplit, LabelledImages, open_data
from trainer.errors import TrainerError
from trainer.evaluation.comparison import Classes, Comparison, Likeness, judge_classes
from trainer.evaluation.judge import Judge, trained_judge
from trainer.recipes import recipe_names
from trainer.results.runs import train_recipe
from trainer.results.table import Heading, Row, render
from trainer.training import resolve

_FIRST_SEED = 8_000_000


class Study:
    """The images, the judge and the floor that all recipes are measured with."""

    def __init__(self, data_path: Path, folder: Path, pictures: Path, *, minutes: float, samples: int) -> None:
        self.data: DataSplit = open_data(parse(DataConfig, {"path": str(data_path)}, "--data"))
        self.folder, self.pictures, self.minutes, self._data_path = folder, pictures, minutes, data_path
        self._judge: Judge = trained_judge(self.data, folder)
        self._comparison = Comparison(self.data.train.images, self._judge, samples)

    def heading(self, out: Path) -> Heading:
        """What all rows of the table `out` have in common."""
        return Heading(
            data=self._data_path.name,
            minutes=self.minutes,
            samples=self._comparison.samples,
            floor=self._comparison.floor,
            judge_accuracy=self._judge.accuracy(self.data.held_out),
            pictures=os.path.relpath(self.pictures, out.parent),
        )

    def settings(self) -> tuple[str, ...]:
        """Overrides that put a recipe on this study's images and budget."""
        path = json.dumps(str(self._data_path.resolve()))
        limit = f"budget={{images: null, max_minutes: {self.minutes:g}}}"
        return (f"data.path={path}", limit, "export.precisions=[fp32]", "training.grids=2")

    def measure(self, recipe: str) -> Row:
        """Train `recipe`, or take what an earlier command has measured of it."""
        run, key = self.folder / recipe, self._key(recipe)
        kept = run / "measured.json"
        if kept.exists():
            measured = json.loads(kept.read_text(encoding="utf-8"))
            if measured["key"] == key:
                return _as_row(measured["row"])
            run = self.folder / f"{recipe}-{key[:8]}"
        row = self._train_and_measure(recipe, run)
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(kept, json.dumps({"key": key, "row": asdict(row)}, indent=2).encode())
        return row

    def _key(self, recipe: str) -> str:
        config = resolve(recipe, self.settings()).model_dump(mode="json")
        config["data"]["path"] = None  # the fingerprint says which images
        parts = [config, self.data.fingerprint(), self._comparison.samples]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _train_and_measure(self, recipe: str, run: Path) -> Row:
        trained = train_recipe(recipe, run, self.settings())
        likeness, classes, grid = None, None, None
        if trained.package is not None:
            likeness, classes = self._judge_package(trained.package)
            grid = self._copy_grid(trained.package, recipe)
        return Row(
            recipe, trained.images, trained.seconds, trained.wall_seconds, trained.peak_mib, trained.verdict,
            likeness, classes, grid,
        )  # fmt: skip

    def _judge_package(self, package: Package) -> tuple[Likeness | None, Classes | None]:
        classes, n = tuple(package.manifest.classes), self._comparison.samples
        labels = np.arange(n, dtype=np.int64) % max(1, len(classes))
        images = Generator(package, "fp32").sample(row_seeds(_FIRST_SEED, n), labels if classes else None)
        if images.shape[1:] != self.data.train.images.shape[1:]:
            return None, None  # sequences have measures of their own
        samples = LabelledImages(images, labels, classes)
        return self._comparison.compare(images), judge_classes(samples, self.data, self._judge)

    def _copy_grid(self, package: Package, recipe: str) -> str:
        """The package's sample grid, beside the table's other pictures."""
        target = self.pictures / f"{recipe}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target, (package.path / "samples.png").read_bytes())
        return target.name


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Images, as for `latentd train`.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=10.0, help="Training time of each.")
@click.option("--samples", type=click.IntRange(min=100), default=10_000, help="Generated images that are measured.")
@click.option("--recipe", "recipes", multiple=True, help="Only this one; may be repeated. Default: all of them.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path("runs/results"), help="Runs and what is kept.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("trainer/RESULTS.md"), help="The table.")
@click.option("--pictures", type=click.Path(path_type=Path), default=Path("docs/results"), help="Sample grids.")
def main(  # noqa: PLR0917 - click passes one argument per option
    data: Path, minutes: float, samples: int, recipes: tuple[str, ...], folder: Path, out: Path, pictures: Path
) -> None:
    """Train and measure recipes on one data set; the table is written after each of them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        study = Study(data, folder, pictures, minutes=minutes, samples=samples)
        write_table(study, recipes or recipe_names(), out)
    except TrainerError as error:
        raise click.ClickException(str(error)) from error


def write_table(study: Study, recipes: Sequence[str], out: Path) -> None:
    """Measure `recipes` one after the other, and rewrite `out` after each."""
    rows = []
    for number, recipe in enumerate(recipes, 1):
        click.echo(f"[{number}/{len(recipes)}] {recipe}")
        rows.append(study.measure(recipe))
        write_atomic(out, render(study.heading(out), rows).encode())
    click.echo(f"wrote {out}")


def _as_row(row: dict[str, Any]) -> Row:
    likeness, classes = row.pop("likeness"), row.pop("classes")
    return Row(
        **row,
        likeness=None if likeness is None else Likeness(**likeness),
        classes=None if classes is None else Classes(**classes),
    )


if __name__ == "__main__":
    main()
