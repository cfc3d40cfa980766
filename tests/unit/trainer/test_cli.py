"""The command line before any training: instant, and without torch."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from trainer.cli import train

HEAVY = ("torch", "lightning_fabric", "sklearn", "onnx", "onnxruntime", "numpy")


@pytest.mark.parametrize("option", ["--help", "--list"])
def test_help_and_list_load_no_torch(option: str) -> None:
    code = (
        "import sys\nfrom trainer.cli import train\n"
        f"train([{option!r}], standalone_mode=False)\n"
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "loaded: []"


def test_list_names_and_describes_the_recipes() -> None:
    result = CliRunner().invoke(train, ["--list"])
    assert result.exit_code == 0
    assert "\ndigits-cgan  Class-conditional GAN" in result.output


def test_unknown_recipes_suggest_the_nearest() -> None:
    result = CliRunner().invoke(train, ["digit-cgan", "--run", "x"])
    assert result.exit_code == 1
    assert "did you mean 'digits-cgan'?" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digits-cgan"], "Missing option '--run'"),
        (["digits-cgan", "--run", "x", "--precision", "int4"], "'int4' is not one of 'fp32', 'fp16', 'int8'"),
        (["digits-cgan", "--run", "x", "--max-minutes", "0"], "0.0 is not in the range x>0"),
        (["digits-cgan", "--run", "x", "--seed", "-1"], "-1 is not in the range 0<=x<=4294967295"),
    ],
)
def test_wrong_options_are_usage_errors(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(train, arguments)
    assert result.exit_code == 2
    assert message in result.output
