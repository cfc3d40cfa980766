"""`latentd quantize` and `latentd prune` as a person meets them."""

import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from runtime.store import DirectoryStore
from tests.kit.tiny_package import publish_tiny
from trainer.compress.cli import prune, quantize


def run(command: click.Command, models: DirectoryStore, *arguments: str) -> Result:
    places = ("--store", str(models.root), "--cache", str(models.root.parent / "cache"), "--samples", "64")
    return CliRunner().invoke(command, [*arguments, *places])


@pytest.mark.parametrize("name", ["quantize", "prune"])
def test_help_needs_no_torch_and_has_examples(name: str) -> None:
    code = (
        f"import sys; from trainer.compress.cli import {name} as command\n"
        "try: command(['--help'])\n"
        "except SystemExit: pass\n"
        "print('loaded:', [name for name in ('torch', 'onnx', 'numpy', 'pydantic') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"
    assert f"latentd {name} " in done.stdout
    assert "Exit codes: 0 published" in done.stdout


def test_every_option_of_the_examples_exists() -> None:
    for command in (quantize, prune):
        known = {option for parameter in command.params for option in parameter.opts}
        examples = [line for line in (command.epilog or "").splitlines() if line.strip().startswith("latentd")]
        used = {word for line in examples for word in line.split() if word.startswith("--")}
        others = {option for parameter in (*quantize.params, *prune.params) for option in parameter.opts}
        assert used <= others
        assert used & known


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (quantize, ("digits-cgan",), "Missing option '--method'"),
        (quantize, ("digits-cgan", "--method", "int3"), "'int3' is not one of 'int8', 'int8-weights'"),
        (
            quantize,
            ("digits-cgan", "--method", "int8", "--bits", "4"),
            "--bits goes with --method int8-weights, not int8",
        ),
        (
            quantize,
            ("digits-cgan", "--method", "fp16", "--calibration-images", "64"),
            "goes with --method int8, not fp16",
        ),
        (quantize, ("absent", "--method", "fp16"), "absent: no folder with a manifest.json"),
        (prune, ("digits-cgan", "--ratio", "1"), "is not in the range 0<x<1"),
        (prune, ("digits-cgan", "--unstructured", "--criterion", "norm"), "--criterion is about channels"),
        (prune, ("digits-cgan", "--device", "cuda", "--steps", "1"), "--device cuda: PyTorch finds no CUDA device"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(
    models: DirectoryStore, command: click.Command, arguments: tuple[str, ...], message: str
) -> None:
    done = run(command, models, *arguments)
    assert done.exit_code in (1, 2)
    assert message in done.output
    assert "Traceback" not in done.output


def test_quantize_says_what_it_did(models: DirectoryStore) -> None:
    done = run(quantize, models, "digits-cgan", "--method", "int8-weights", "--bits", "4", "--min-psnr", "5")
    assert done.exit_code == 0, done.output
    first, *_, last = done.output.splitlines()
    assert first == "digits-cgan@1: int8-weights"
    assert "of the size" in done.output and "times as fast" in done.output and "dB, at most" in done.output
    assert last == f"published digits-cgan@2 in {models.root}: fp32, int8"


def test_what_misses_a_bar_ends_with_1_and_by_force_with_3(models: DirectoryStore) -> None:
    below = ("digits-cgan@1", "--method", "int8-weights", "--bits", "4", "--min-psnr", "95")
    done = run(quantize, models, *below)
    assert (done.exit_code, models.versions()) == (1, {"digits-cgan": [1]})
    assert "Error: int8 misses psnr_db>=95" in done.output
    forced = run(quantize, models, *below, "--force")
    assert (forced.exit_code, models.versions()) == (3, {"digits-cgan": [1, 2]})
    assert "  misses psnr_db>=95" in forced.output


def test_prune_publishes_with_a_few_steps(models: DirectoryStore) -> None:
    done = run(prune, models, "digits-cgan", "--steps", "5", "--batch-size", "8", "--min-psnr", "0")
    assert done.exit_code == 0, done.output
    assert "removing 50% of the channels" in done.output
    assert models.versions() == {"digits-cgan": [1, 2]}


def test_the_readonly_store_is_named(models: DirectoryStore) -> None:
    blocked = models.root.parent / "blocked"
    blocked.write_text("a file in the way")
    package = publish_tiny(models, "tiny").path
    done = CliRunner().invoke(quantize, [str(package), "--method", "fp16", "--store", str(blocked)])
    assert done.exit_code == 2
    assert "is a file" in done.output
    done = CliRunner().invoke(
        quantize, [str(package), "--method", "fp16", "--store", str(blocked / "models"), "--samples", "20"]
    )
    assert done.exit_code == 1
    assert str(blocked) in done.output
    assert "Traceback" not in done.output


def test_entry_points_are_registered() -> None:
    text = (Path(__file__).parents[4] / "pyproject.toml").read_text()
    for command in (quantize, prune):
        assert f'{command.name} = "trainer.compress.cli:{command.name}"' in text
