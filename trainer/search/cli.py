"""`latentd search`. Options are read before torch and Optuna are loaded, so that help is instant."""

import json
import shlex
import sys
from pathlib import Path
from typing import Literal

import click


@click.command(
    "search",
    epilog="""Examples:

\b
  latentd search digits-cgan --run runs/search --workers 2
  latentd search cgan --run runs/mnist --data path/to/mnist --set budget.max_minutes=2 --trials 40
  latentd search digits-cgan --show-space > space.yaml
  latentd search digits-cgan --run runs/mine --space space.yaml --objective coverage

\b
A search-space file names fields of the recipe (see latentd train RECIPE --show):
  generator_optimizer.learning_rate: {low: 1.0e-4, high: 2.0e-3, log: true}
  training.batch_size: {low: 32, high: 128, step: 32}
  ema.decay: [0.99, 0.999]
""",
)
@click.argument("recipe")
@click.option("--run", "run", type=click.Path(path_type=Path), help="Folder of this search; created.  [required]")
@click.option("--space", type=click.Path(path_type=Path), help="YAML file of searched fields. Default: rates, "
              "penalties, averaging and betas around the recipe's own.")  # fmt: skip
@click.option("--show-space", is_flag=True, help="Print the search space as such a file, and stop.")
@click.option("--trials", type=click.IntRange(1, 100_000), default=20, show_default=True,
              help="Trainings to begin altogether, also over several commands on one folder.")  # fmt: skip
@click.option("--workers", type=click.IntRange(1, 1024), default=1, show_default=True,
              help="Trainings at a time. More: the same command once more, on this folder.")  # fmt: skip
@click.option("--objective", type=click.Choice(("frechet", "coverage")), default="frechet", show_default=True,
              help="What generated images are judged by, against held-out ones.")  # fmt: skip
@click.option("--pruning", type=click.Choice(("median", "hyperband", "none")), default="median", show_default=True,
              help="How trials that fall behind are stopped early.")  # fmt: skip
@click.option("--confirm", type=click.IntRange(0, 1000), default=2, show_default=True,
              help="Fresh seeds with which the best trial and the default are trained anew and compared.")  # fmt: skip
@click.option("--store", type=click.Path(path_type=Path, file_okay=False), default=Path("models"), show_default=True,
              help="Folder to publish the best package in.")  # fmt: skip
@click.option("--name", help="Name of the package. Default: the recipe's.")
@click.option("--data", type=click.Path(path_type=Path), help="Images, as for latentd train.")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change a field in every trial.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True,
              help="Seed of what is tried; trainings have the recipe's.")  # fmt: skip
def search_command(  # noqa: PLR0917 - click passes one argument per option
    recipe: str,
    run: Path | None,
    space: Path | None,
    show_space: bool,
    trials: int,
    workers: int,
    objective: Literal["frechet", "coverage"],
    pruning: Literal["median", "hyperband", "none"],
    confirm: int,
    store: Path,
    name: str | None,
    data: Path | None,
    overrides: tuple[str, ...],
    seed: int,
) -> None:
    """Search for settings of RECIPE that generate better images, and publish the best generator.

    The first trial is the recipe as it ships, so that the result says what the search has gained. The same command
    goes on with a search that was stopped or killed, and joins one that is under way.
    """
    from runtime.errors import PackageError
    from trainer.recipes import recipe_text

    try:
        recipe_text(recipe)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if run is None and not show_space:
        raise click.UsageError("Missing option '--run'.")
    from trainer.errors import TrainerError
    from trainer.search.search import SearchRequest, find_space, search
    from trainer.search.space import space_yaml

    images = () if data is None else (f"data.path={json.dumps(str(data.resolve()))}", "package={}")
    settings = (*images, *overrides)
    try:
        if run is None or show_space:
            click.echo(space_yaml(*find_space(recipe, settings, space)), nl=False)
            return
        request = SearchRequest(
            recipe=recipe,
            run=run,
            store=store,
            overrides=settings,
            name=name,
            space=space,
            objective=objective,
            pruning=pruning,
            seed=seed,
            trials=trials,
            workers=workers,
            confirm=confirm,
            command=_this_command(),
        )
        exit_code = search(request, click.echo)
    except (TrainerError, PackageError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:  # a folder that may not be written, a full disk
        raise click.ClickException(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
    sys.exit(exit_code)


def _this_command() -> str:
    """The line that repeats this command."""
    arguments = sys.argv[1:]
    return shlex.join(["latentd", "search", *arguments[arguments[:1] == ["search"] :]])
