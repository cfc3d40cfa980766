"""The `latentd` command: subcommands registered by each layer, found by entry point.

A layer adds its commands in `pyproject.toml` under ``latentd.commands``; nothing here imports the server or
the trainer. A command whose extra is not installed stays listed and says which extra it needs.
"""

from importlib.metadata import EntryPoint, entry_points

import click

from runtime import __version__

GROUP = "latentd.commands"


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(entry.name for entry in entry_points(group=GROUP))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for entry in entry_points(group=GROUP, name=cmd_name):
            try:
                command: click.Command = entry.load()
            except ModuleNotFoundError as error:
                return _missing(entry, error)
            return command
        return None


def _missing(entry: EntryPoint, error: ModuleNotFoundError) -> click.Command:
    layer = entry.value.split(".")[0]
    extra = {"trainer": "trainer"}.get(layer, "cpu")

    @click.command(entry.name, help=f"(needs latentd[{extra}])", context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1)
    def unavailable(arguments: tuple[str, ...]) -> None:
        raise click.ClickException(
            f"`latentd {entry.name}` needs the module {error.name!r}: pip install 'latentd[{extra}]'"
        )

    return unavailable


@click.command(
    cls=_Commands,
    epilog="""Examples:

\b
  latentd train digits-cgan --run runs/digits --store models
  latentd serve --store models
  latentd sample --labels 0,1,2,3 --n 16 --out grid.png
""",
)
@click.version_option(__version__, prog_name="latentd")
def main() -> None:
    """Turn images into generative model packages and serve them over HTTP and gRPC."""
