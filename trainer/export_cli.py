"""`latentd export`. Options are read before torch is loaded, so that help is instant."""

import sys
from pathlib import Path

import click


@click.command(
    "export",
    epilog="""Examples:

\b
  latentd export runs/mnist --store models --precision int8 --precision fp16
  latentd export runs/mnist --name mnist-early --set evaluation.samples=5000

\b
Exit codes: 0 published, 1 and 2 an error, 3 published and a requirement is missed.
""",
)
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), default=Path("models"), show_default=True,
    help="Folder to publish the package in.",
)  # fmt: skip
@click.option("--name", help="Name of the package. Default: the recipe's.")
@click.option(
    "--precision", "precisions", multiple=True, type=click.Choice(("fp32", "fp16", "int8")),
    help="Graph to put into the package beside fp32; may be repeated. Default: as the run was begun.",
)  # fmt: skip
@click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE",
    help="Change how it is exported, evaluated or described.",
)  # fmt: skip
def export_command(
    run: Path, store: Path, name: str | None, precisions: tuple[str, ...], overrides: tuple[str, ...]
) -> None:
    """Publish what the training run in folder RUN has come to, whether it is finished or was stopped.

    The run stays as it is: `latentd train` goes on with it.
    """
    from runtime.errors import PackageError
    from trainer.errors import TrainerError
    from trainer.evaluation.gates import MISSED_REQUIREMENTS
    from trainer.export_run import ExportRequest, export_run

    wanted = f"export.precisions=[{', '.join(dict.fromkeys(('fp32', *precisions)))}]"
    settings = (*overrides, *([wanted] if precisions else []))
    try:
        package = export_run(ExportRequest(run, store, settings, name), click.echo)
    except (TrainerError, PackageError) as error:
        raise click.ClickException(str(error)) from error
    except OSError as error:  # a folder that may not be written, a full disk
        raise click.ClickException(f"{error.filename}: {error.strerror}" if error.filename else str(error)) from error
    sys.exit(MISSED_REQUIREMENTS if package.manifest.missed() else 0)
