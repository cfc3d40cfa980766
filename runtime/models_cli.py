"""`latentd models`: look into a store without a server."""

from pathlib import Path

import click

from runtime.errors import PackageError
from runtime.manifest import Manifest
from runtime.store import DirectoryStore

_store = click.option(
    "--store", type=click.Path(path_type=Path, file_okay=False), default=Path("models"), show_default=True
)


@click.group()
def models() -> None:
    """List and verify the packages of a store."""


@models.command("list")
@_store
def list_models(store: Path) -> None:
    """One line per package: reference, size of an image, classes, precisions, and the requirements and bars it misses.

    \b
    latentd models list --store models
    """
    directory = DirectoryStore(store)
    for name, versions in directory.versions().items():
        for version in versions:
            try:
                manifest = directory.open(name, version).manifest
            except PackageError as error:
                click.echo(f"{name}@{version}  REFUSED: {error.reason}")
                continue
            size = "×".join(str(side) for side in manifest.output.shape)
            classes = f"{len(manifest.classes)} classes" if manifest.classes else "unconditional"
            line = f"{manifest.reference}  {manifest.family}  {size}  {classes}  {', '.join(manifest.precisions)}"
            click.echo(line + _misses(manifest))


def _misses(manifest: Manifest) -> str:
    missed = [
        f"{each.expression} ({'not measured' if each.value is None else f'{each.value:.4g}'})"
        for each in (*manifest.missed(), *manifest.missed_bars())
    ]
    return f"  MISSES {', '.join(missed)}" if missed else ""


@models.command()
@click.argument("reference")
@_store
def verify(reference: str, store: Path) -> None:
    """Check REFERENCE (name@version): hashes, then a run of every precision against its recorded outputs.

    \b
    latentd models verify digits-cgan@1 --store models
    """
    from runtime.generator import Generator

    name, _, version = reference.partition("@")
    if not version.isdecimal():
        raise click.BadParameter(f"{reference!r} is not name@version, e.g. digits-cgan@1", param_hint="REFERENCE")
    try:
        package = DirectoryStore(store).open(name, int(version))
        for precision in package.manifest.precisions:
            Generator(package, precision)
            click.echo(f"{reference} {precision}: ok")
    except PackageError as error:
        raise click.ClickException(str(error)) from error
