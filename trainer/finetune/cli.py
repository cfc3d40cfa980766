"""`latentd finetune`. Options are read before torch is loaded, so that help and wrong settings are instant."""

import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from runtime.fine_tuning import FineTuneConfig, FineTuneOrder

_SUFFIX = "-tuned"
_LONGEST = 64 - len(_SUFFIX)


@click.command(
    epilog="""Examples:

\b
  latentd finetune digits-cgan --data my-images --run runs/mine --store models --name mine
  latentd finetune digits-cgan@1 --data photos.zip --fit --run runs/photos --set adapter=low-rank
  latentd finetune digits-cgan --data flat-folder --label stars --run runs/stars
  latentd finetune digits-cgan --data my-images --run runs/strict --require 'kernel_distance_ratio<=0.5'
  latentd finetune --job jobs/4711
  latentd finetune --settings

\b
Exit codes:
  0  published
  1  images, package or settings cannot be used; the message says what to change
  2  wrong command line or order
  3  a requirement is missed, nothing is published
  4  a defect; try again or report it
  5  another process works in the folder, or the order was given to a later attempt
  74 the machine gave out (disk, memory); the same command goes on
  130, 143  stopped by Ctrl-C or SIGTERM, all saved; the same command goes on
"""
)
@click.argument("package", required=False)
@click.option("--data", type=click.Path(path_type=Path), help="Images, as for latentd train.  [required]")
@click.option("--run", "run", type=click.Path(path_type=Path), help="Folder of this run; created.  [required]")
@click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), default=Path("models"), show_default=True,
    help="Where PACKAGE is looked for, and the new one is published.",
)  # fmt: skip
@click.option("--name", help="Name of the new package; PACKAGE's own makes it the next version. Default: NAME-tuned.")
@click.option("--set", "settings", multiple=True, metavar="FIELD=VALUE", help="A setting, see --settings.")
@click.option("--fit", is_flag=True, help="Cut, resize and recolour images to what PACKAGE makes.")
@click.option("--label", help="Class of all images, where they have none.")
@click.option("--max-minutes", type=click.FloatRange(min=0, min_open=True), help="Stop training after this time.")
@click.option(
    "--require", "requirements", multiple=True, metavar="MEASURE<NUMBER",
    help="Quality gate; may be repeated. Default: nearer to held-out images than before, and no sign of copying.",
)  # fmt: skip
@click.option(
    "--job", type=click.Path(path_type=Path, file_okay=False), help="Do what job.json in this folder asks for."
)
@click.option("--settings", "list_settings", is_flag=True, help="Print every setting with its default, and stop.")
@click.option("--show", is_flag=True, help="Print the recipe that would be trained, and stop.")
def finetune(  # noqa: PLR0917 - click passes one argument per option
    package: str | None,
    data: Path | None,
    run: Path | None,
    store: Path,
    name: str | None,
    settings: tuple[str, ...],
    fit: bool,
    label: str | None,
    max_minutes: float | None,
    requirements: tuple[str, ...],
    job: Path | None,
    list_settings: bool,
    show: bool,
) -> None:
    """Train PACKAGE (a folder, a name, or name@version) further on a few hundred images, and publish the result.

    The state that comes nearest to images kept apart is published, if it has not begun to copy. The same command goes
    on with a run that was stopped or killed; Ctrl-C saves first.
    """
    from runtime.errors import PackageError
    from runtime.fine_tuning import FineTuneConfigError, write_order

    if list_settings:
        click.echo(_describe_settings())
        return
    if job is not None:
        if package or data or run:
            raise click.UsageError("--job stands alone: PACKAGE, --data and the settings are in its job.json")
        sys.exit(_run(job))
    missing = [option for option, value in (("--data", data), ("--run", run)) if value is None and not show]
    if package is None or data is None or missing:
        what = "argument 'PACKAGE'" if package is None else f"option '{(missing or ['--data'])[0]}'"
        raise click.UsageError(f"Missing {what}.")
    chosen = {"fit": fit or None, "label": label, "max_minutes": max_minutes, "require": requirements or None}
    try:
        config = _config(settings, {field: value for field, value in chosen.items() if value is not None})
        order = _order(package, data, run=run, store=store, name=name, config=config)
        if show or run is None:
            click.echo(_shown(order), nl=False)
            return
        run.mkdir(parents=True, exist_ok=True)
        write_order(run, order)
    except (FineTuneConfigError, PackageError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:  # a folder that may not be written, a full disk
        raise click.ClickException(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
    sys.exit(_run(run))


def _run(folder: Path) -> int:
    from trainer.finetune.run import run_job

    return int(run_job(folder, lambda text: click.echo(text, err=text.startswith("Error: "))))


def _config(settings: tuple[str, ...], chosen: dict[str, Any]) -> "FineTuneConfig":
    import yaml

    from runtime.fine_tuning import FineTuneConfigError, parse_config

    values: dict[str, Any] = {}
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals:
            raise FineTuneConfigError("", f"--set {setting}: write field=value, e.g. --set adapter=low-rank")
        try:
            values[field.strip()] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise FineTuneConfigError(field, f"--set {setting}: the value is not YAML") from error
    return parse_config(values | chosen)


def _order(
    package: str, data: Path, *, run: Path | None, store: Path, name: str | None, config: "FineTuneConfig"
) -> "FineTuneOrder":
    """The order that this command line stands for; a folder that was begun keeps the identity of its job, and the
    version of a package that is named without one."""
    from runtime.fine_tuning import ORDER_FILE, parse_order, read_order
    from runtime.references import find_package
    from runtime.store import DirectoryStore

    begun = read_order(run) if run is not None and (run / ORDER_FILE).exists() else None
    if begun and Path(begun.package).parent == store.resolve() / package:
        package = begun.package
    found = find_package(package, DirectoryStore(store))
    return parse_order(
        {
            "job": begun.job if begun else uuid.uuid4().hex,
            "attempt": begun.attempt if begun else 1,
            "package": str(found.path.resolve()),
            "data": str(data.resolve()),
            "store": str(store.resolve()),
            "name": name or f"{found.manifest.name[:_LONGEST]}{_SUFFIX}",
            "config": config,
        }
    )


def _shown(order: "FineTuneOrder") -> str:
    from tempfile import TemporaryDirectory

    from trainer.errors import TrainerError
    from trainer.finetune.preparation import prepare
    from trainer.show import annotated_yaml

    with TemporaryDirectory() as cache:
        try:
            return annotated_yaml(prepare(order, Path(cache)).recipe)
        except TrainerError as error:
            raise click.ClickException(str(error)) from error


def _describe_settings() -> str:
    import textwrap

    from runtime.fine_tuning import FineTuneConfig

    lines = []
    for field, value in FineTuneConfig().model_dump(mode="json").items():
        lines.append(f"{field}={'null' if value is None else value}")
        text = " ".join((FineTuneConfig.model_fields[field].description or "").split())
        lines += textwrap.wrap(text, 100, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)
