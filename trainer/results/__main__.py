"""Train, measure, and write `trainer/RESULTS.md`: `make results`.

Resumable: what was measured with the same settings on the same images is not trained again, and a run that was
interrupted goes on where it stopped. `latentd study NAME` does one study, with the options of that study alone.
"""

import os
import signal
from pathlib import Path

import click

from trainer.errors import TrainerError
from trainer.results.order import Order
from trainer.results.studies import STUDIES
from trainer.results.writing import write_results


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Images, as for `latentd train`.")
@click.option(
    "--study", "studies", multiple=True, type=click.Choice(tuple(STUDIES)),
    help="Only this one; may be repeated. Default: all of them.",
)  # fmt: skip
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=10.0, help="Training time of a recipe.")
@click.option("--samples", type=click.IntRange(min=100), default=10_000, help="Generated images that are compared.")
@click.option(
    "--recipe", "recipes", multiple=True,
    help="Only this one; may be repeated. Default: all of them, and cgan in the study of seeds.",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(min=1), default=1, help="Recipes at once; from 2 on a thread for each.")
@click.option("--seeds", type=int, multiple=True, default=(0, 1, 2), help="Of the study of seeds; may be repeated.")
@click.option(
    "--seed-minutes", type=click.FloatRange(min=0, min_open=True), multiple=True, default=(2.0, 5.0, 10.0),
    help="Budgets of the study of seeds; may be repeated.",
)  # fmt: skip
@click.option("--folder", type=click.Path(path_type=Path), default=Path("runs/results"), help="Training runs.")
@click.option(
    "--figures", type=click.Path(path_type=Path), default=Path("docs/results/figures"), help="What was measured.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=Path("trainer/RESULTS.md"), help="The file.")
@click.option("--pictures", type=click.Path(path_type=Path), default=Path("docs/results"), help="Sample grids.")
def main(  # noqa: PLR0917 - click passes one argument per option
    data: Path, studies: tuple[str, ...], minutes: float, samples: int, recipes: tuple[str, ...], jobs: int,
    seeds: tuple[int, ...], seed_minutes: tuple[float, ...], folder: Path, figures: Path, out: Path,
    pictures: Path,
) -> None:  # fmt: skip
    """Train and measure on one data set; the file is written anew whenever a study advances."""
    order = Order(
        data_path=data,
        folder=folder,
        figures=figures,
        pictures=pictures,
        pictures_link=os.path.relpath(pictures, out.parent),
        minutes=minutes,
        samples=samples,
        recipes=recipes,
        jobs=jobs,
        seeds=seeds,
        seed_minutes=seed_minutes,
    )
    try:
        write_results(order, out, studies or tuple(STUDIES))
    except TrainerError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
