"""The `latentd` command is composed of what each layer registers."""

from importlib.metadata import EntryPoint, EntryPoints

import click
import pytest
from click.testing import CliRunner

from runtime import __version__, cli

GREET = "tests.unit.runtime.test_cli:greet"


@click.command()
@click.option("--name", default="you")
def greet(name: str) -> None:
    """Say hello."""
    click.echo(f"hello {name}")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three commands: a good one, one of the trainer and one of the server whose modules are missing."""
    entries = EntryPoints(
        EntryPoint(name, value, cli.GROUP)
        for name, value in {
            "greet": GREET,
            "learn": "trainer.absent_for_this_test.cli:learn",
            "answer": "service.absent_for_this_test.cli:answer",
        }.items()
    )
    monkeypatch.setattr(cli, "entry_points", entries.select)


@pytest.mark.usefixtures("registered")
def test_help_lists_every_command_in_order_even_those_that_cannot_run() -> None:
    result = CliRunner().invoke(cli.main, ["--help"])
    assert result.exit_code == 0
    listed = result.output[result.output.index("Commands:") :]
    assert listed.index("answer") < listed.index("greet") < listed.index("learn")
    assert "Say hello." in listed
    assert "(needs latentd[trainer])" in listed


@pytest.mark.usefixtures("registered")
def test_a_registered_command_runs_with_its_arguments() -> None:
    result = CliRunner().invoke(cli.main, ["greet", "--name", "Ada"])
    assert (result.exit_code, result.output) == (0, "hello Ada\n")


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize(("command", "extra"), [("learn", "trainer"), ("answer", "cpu")])
def test_a_command_without_its_extra_says_what_to_install(command: str, extra: str) -> None:
    result = CliRunner().invoke(cli.main, [command, "digits-cgan", "--run", "x", "--flag"])
    assert result.exit_code == 1
    assert f"`latentd {command}` needs the module" in result.output
    assert f"pip install 'latentd[{extra}]'" in result.output


@pytest.mark.usefixtures("registered")
def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli.main, ["fly"])
    assert result.exit_code == 2
    assert "No such command 'fly'" in result.output


def test_the_version() -> None:
    result = CliRunner().invoke(cli.main, ["--version"])
    assert result.output == f"latentd, version {__version__}\n"
    assert __version__[0].isdigit()


def test_this_install_registers_the_commands_of_every_layer() -> None:
    context = click.Context(cli.main)
    assert isinstance(cli.main, click.Group)
    names = cli.main.list_commands(context)
    assert {"models", "sample", "serve", "train"} <= set(names)
    for name in names:
        command = cli.main.get_command(context, name)
        assert command is not None
        assert command.help, f"`latentd {name}` has no help"
        assert "(needs" not in command.help, f"`latentd {name}` cannot be loaded: {command.help}"
