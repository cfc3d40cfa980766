"""`latentd study`: the studies of `trainer.results`, each with the options that it has a use for."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict, TypeVar, Unpack

import click

from trainer.results.order import Order

F = TypeVar("F", bound=Callable[..., Any])

_minutes = click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True,
    help="Training time of a recipe.",
)  # fmt: skip
_samples = click.option(
    "--samples", type=click.IntRange(min=100), default=10_000, show_default=True,
    help="Generated images that are compared.",
)  # fmt: skip
_recipes = click.option("--recipe", "recipes", multiple=True, help="Only this one; may be repeated.")


def _jobs(what: str) -> Callable[[F], F]:
    return click.option(
        "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help=f"{what} at once, a thread each."
    )


class _Places(TypedDict):
    """Options that every study has."""

    data: Path
    folder: Path
    figures: Path
    out: Path
    pictures: Path


def _places(command: F) -> F:
    path = click.Path(path_type=Path)
    options = (
        click.option("--data", type=path, required=True, help="Images, as for `latentd train`."),
        click.option("--folder", type=path, default=Path("runs/results"), show_default=True, help="Training runs."),
        click.option(
            "--figures", type=path, default=Path("docs/results/figures"), show_default=True,
            help="What was measured; is not measured again.",
        ),
        click.option(
            "--out", type=path, default=Path("trainer/RESULTS.md"), show_default=True,
            help="The file; sections of other studies stay.",
        ),
        click.option(
            "--pictures", type=path, default=Path("docs/results"), show_default=True, help="Sample grids and plots."
        ),
    )  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command


@click.group(
    epilog="""Examples:

\b
  latentd study scarcity --data path/to/mnist --jobs 2
  latentd study recipes --data path/to/mnist --recipe cgan --recipe dcgan --minutes 5
  latentd study seeds --data path/to/mnist --seed 0 --seed 1 --minutes 2
"""
)
def study() -> None:
    """Train, measure, and write what was found into a file of results.

    What was measured is kept, so the same command goes on where it was stopped. `make results` does all studies.
    """


@study.command(
    epilog="""Examples:

\b
  latentd study scarcity --data path/to/mnist --jobs 2
  latentd study scarcity --data my-images --per-class 10 --per-class 30 --out scarcity.md
"""
)
@_places
@click.option(
    "--per-class", type=click.IntRange(min=2), multiple=True, default=(5, 10, 20, 50, 100), show_default=True,
    help="Real images per class; may be repeated.",
)  # fmt: skip
@click.option(
    "--repeats", type=click.IntRange(min=2), default=5, show_default=True,
    help="Seeds of real images, generator and classifier; intervals are over them.",
)  # fmt: skip
@_jobs("Trainings")
def scarcity(per_class: tuple[int, ...], repeats: int, jobs: int, **places: Unpack[_Places]) -> None:
    """Do synthetic images help where real ones are few?

    A classifier learns from a few real images per class: from them alone, with classic augmentation, with synthetic
    images, with both. The generator is trained on the same few. Prints beforehand how long it takes.
    """
    _write("scarcity", places, per_class=tuple(sorted(set(per_class))), repeats=repeats, jobs=jobs)


@study.command()
@_places
@_minutes
@_samples
@_recipes
@_jobs("Recipes")
def recipes(minutes: float, samples: int, recipes: tuple[str, ...], jobs: int, **places: Unpack[_Places]) -> None:
    """All recipes, on the same images for the same time.

    \b
    latentd study recipes --data path/to/mnist --recipe cgan --recipe dcgan --minutes 5 --jobs 2
    """
    _write("recipes", places, minutes=minutes, samples=samples, recipes=recipes, jobs=jobs)


@study.command()
@_places
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), multiple=True, default=(2.0, 5.0, 10.0),
    show_default=True, help="Training time; may be repeated.",
)  # fmt: skip
@click.option("--seed", "seeds", type=int, multiple=True, default=(0, 1, 2), show_default=True, help="May be repeated.")
@_samples
@_recipes
def seeds(
    minutes: tuple[float, ...], seeds: tuple[int, ...], samples: int, recipes: tuple[str, ...],
    **places: Unpack[_Places],
) -> None:  # fmt: skip
    """One conditional recipe (cgan), several budgets and seeds, against targets.

    \b
    latentd study seeds --data path/to/mnist --seed 0 --seed 1 --minutes 2
    """
    _write("seeds", places, seed_minutes=minutes, seeds=seeds, samples=samples, recipes=recipes)


@study.command("learning-rates")
@_places
def learning_rates(**places: Unpack[_Places]) -> None:
    """Adam, SGD and conjugate gradients over a grid of learning rates.

    \b
    latentd study learning-rates --data path/to/mnist
    """
    _write("learning-rates", places)


@study.command()
@_places
@_minutes
@_samples
@_recipes
def modes(minutes: float, samples: int, recipes: tuple[str, ...], **places: Unpack[_Places]) -> None:
    """How many of a hundred kinds of image each recipe finds.

    \b
    latentd study modes --data path/to/mnist --minutes 5
    """
    _write("modes", places, minutes=minutes, samples=samples, recipes=recipes)


@study.command()
@_places
def speed(**places: Unpack[_Places]) -> None:
    """A training step beside the same one written the plain way.

    \b
    latentd study speed --data path/to/mnist
    """
    _write("speed", places)


@study.command()
@_places
@_minutes
@click.option(
    "--samples", type=click.IntRange(min=100), default=5_000, show_default=True,
    help="Generated images that are compared.",
)  # fmt: skip
@click.option(
    "--steps", "distillation_steps", type=click.IntRange(min=1), default=10_000, show_default=True,
    help="Of distillation, of each pruned generator.",
)  # fmt: skip
@_recipes
def compression(
    minutes: float, samples: int, distillation_steps: int, recipes: tuple[str, ...], **places: Unpack[_Places]
) -> None:
    """Every kind of generator in every form that compression gives it: size, speed, fidelity.

    Trains all of them first, then compresses and measures one by one, for minutes each.

    \b
    latentd study compression --data path/to/mnist
    latentd study compression --data path/to/mnist --recipe dcgan --minutes 5 --steps 3000
    """
    _write(
        "compression", places, minutes=minutes, samples=samples, distillation_steps=distillation_steps, recipes=recipes
    )


def _write(name: str, places: _Places, **options: Any) -> None:
    """Run one study into its section of the file."""
    from trainer.errors import TrainerError
    from trainer.results.writing import write_results

    order = Order(
        data_path=places["data"],
        folder=places["folder"],
        figures=places["figures"],
        pictures=places["pictures"],
        pictures_link=os.path.relpath(places["pictures"], places["out"].parent),
        **options,
    )
    try:
        with _terminated_as_interrupted():
            write_results(order, places["out"], (name,))
    except TrainerError as error:
        raise click.ClickException(str(error)) from error


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Within it SIGTERM stops a study as Ctrl-C does: its trainings save first."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
