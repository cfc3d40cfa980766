"""The command line before any search: instant, without torch and Optuna."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from trainer.search.cli import search_command

HEAVY = ("torch", "optuna", "sklearn", "onnx", "onnxruntime", "numpy")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom trainer.search.cli import search_command\n"
        "search_command(['--help'], standalone_mode=False)\n"
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "loaded: []"
    assert "latentd search digits-cgan --run" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["digits-cgan"], 2, "Missing option '--run'"),
        (["digits-cgan", "--run", "x", "--trials", "0"], 2, "0 is not in the range 1<=x<=100000"),
        (["digits-cgan", "--run", "x", "--objective", "loss"], 2, "'loss' is not one of 'frechet', 'coverage'"),
        (["digit-cgan", "--run", "x"], 1, "did you mean 'digits-cgan'?"),
        (["digits-cgan", "--run", "x", "--space", "no.yaml"], 1, "--space no.yaml: No such file"),
        (["digits-cgan", "--run", "x", "--set", "sed=1"], 1, "did you mean 'seed'?"),
        (["digits-cgan", "--run", "x", "--name", "A B"], 1, "--name 'A B': 1 to 64 lower-case letters"),
    ],
)
def test_wrong_options_say_what_is_allowed(arguments: list[str], code: int, message: str) -> None:
    result = CliRunner().invoke(search_command, arguments)
    assert result.exit_code == code
    assert message in result.output


def test_the_space_of_a_recipe_is_shown_as_a_file() -> None:
    result = CliRunner().invoke(search_command, ["digits-cgan", "--show-space"])
    assert result.exit_code == 0
    assert "regularizers.r1.gamma: {low: 0.1, high: 10.0, log: true}" in result.output
    assert "# 0.999\n" in result.output
