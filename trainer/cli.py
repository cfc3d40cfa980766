"""`latentd train`. Options are read before torch is loaded, so that help and listings are instant."""

import json
import shlex
import sys
from pathlib import Path

import click

_PRECISIONS = ("fp32", "fp16", "int8")


def _list_recipes(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from trainer.recipes import recipe_description, recipe_names

    for name in recipe_names():
        click.echo(f"{name}  {recipe_description(name)}")
    ctx.exit()


@click.command(
    epilog="""Examples:

\b
  latentd train digits-cgan --run runs/digits --store models
  latentd train digits-cgan --run runs/mnist --data path/to/mnist --name mnist
  latentd train digits-cgan --run runs/mine --data my-images --set data.size=32 --max-minutes 10
  latentd train digits-cgan --run runs/gated --require 'coverage>=0.6' --require 'label_accuracy>=0.9'
"""
)
@click.argument("recipe")
@click.option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_list_recipes, help="List recipes.")
@click.option("--run", "run", type=click.Path(path_type=Path), help="Folder of this run; created.  [required]")
@click.option("--show", is_flag=True, help="Print the resolved recipe, with what each field means, and stop.")
@click.option("--dry-run", is_flag=True, help="Print shapes, parameters, memory and time after a few steps, and stop.")
@click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), default=Path("models"), show_default=True,
    help="Folder to publish the package in.",
)  # fmt: skip
@click.option(
    "--data", type=click.Path(path_type=Path),
    help="Images: a folder with one sub-folder per class, or with IDX, Parquet or WebDataset files; a .zip, .tar, "
    ".npz, .npy or .parquet file. Default: scikit-learn's digits.",
)  # fmt: skip
@click.option("--name", help="Name of the package. Default: the recipe's.")
@click.option("--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change a field of the recipe.")
@click.option("--max-minutes", type=click.FloatRange(min=0, min_open=True), help="Stop training after this time.")
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(_PRECISIONS),
    help="Graph to put into the package beside fp32; may be repeated. Default: the recipe's.",
)  # fmt: skip
@click.option(
    "--require", "requirements", multiple=True, metavar="MEASURE>=NUMBER",
    help="Quality gate; may be repeated. A package that misses one is marked, and the exit code is 3.",
)  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="Start of every random sequence. Default: 0.")
@click.option("--device", type=click.Choice(("auto", "cpu", "cuda")), help="Where to train. Default: auto.")
def train(  # noqa: PLR0917 - click passes one argument per option
    recipe: str,
    run: Path | None,
    show: bool,
    dry_run: bool,
    store: Path,
    data: Path | None,
    name: str | None,
    overrides: tuple[str, ...],
    max_minutes: float | None,
    precisions: tuple[str, ...],
    requirements: tuple[str, ...],
    seed: int | None,
    device: str | None,
) -> None:
    """Train RECIPE on images and publish the generator as a model package.

    The same command resumes a run that was stopped or killed; Ctrl-C saves first.
    """
    from runtime.errors import PackageError
    from trainer.recipes import recipe_text

    try:
        recipe_text(recipe)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if run is None and not (show or dry_run):
        raise click.UsageError("Missing option '--run'.")
    from trainer.errors import TrainerError
    from trainer.show import annotated_yaml
    from trainer.training import TrainRequest, rehearse, resolve, train

    options = {
        "budget.max_minutes": max_minutes,
        "export.precisions": precisions and f"[{', '.join(dict.fromkeys(('fp32', *precisions)))}]",
        "evaluation.require": requirements and json.dumps(requirements),
        "seed": seed,
        "device.accelerator": device,
    }
    chosen = tuple(f"{path}={value}" for path, value in options.items() if value not in (None, ()))
    # The recipe's licence and purpose are those of a model of its own data.
    images = () if data is None else (f"data.path={json.dumps(str(data.resolve()))}", "package={}")
    command = _this_command()
    settings = (*images, *overrides, *chosen)
    try:
        if run is None or show or dry_run:
            click.echo(annotated_yaml(resolve(recipe, settings)) if show else rehearse(recipe, settings), nl=not show)
            return
        outcome = train(TrainRequest(recipe, run, store, settings, name, command), click.echo)
    except (TrainerError, PackageError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:  # a folder that may not be written, a full disk
        raise click.ClickException(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
    sys.exit(outcome.exit_code)


def _this_command() -> str:
    """The line that repeats this command."""
    from trainer.ranks import processes_per_node, world_size

    if world_size() == 1:
        return shlex.join(["latentd", *sys.argv[1:]])
    return shlex.join(["torchrun", "--nproc-per-node", str(processes_per_node()), "-m", "trainer", "--", *sys.argv[1:]])
