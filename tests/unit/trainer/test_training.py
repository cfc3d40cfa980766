"""From the command to a package in the store."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from runtime.generator import Generator
from runtime.latents import row_seeds
from runtime.store import DirectoryStore
from tests.unit.trainer.runs import TINY
from trainer.cli import train

CHECKOUT = Path(__file__).resolve().parents[3]
SETTINGS = [argument for override in TINY for argument in ("--set", override)]


def command(run: Path, store: Path, *more: str) -> list[str]:
    """Arguments of a tiny run."""
    return ["digits-cgan", "--run", str(run), "--store", str(store), *SETTINGS, *more]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """Run folder, store and output of a finished command."""
    folder = tmp_path_factory.mktemp("published")
    result = CliRunner().invoke(train, command(folder / "run", folder / "models"), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return folder / "run", folder / "models", result.output


def test_the_output_says_what_happened(published: tuple[Path, Path, str]) -> None:
    _, store, output = published
    assert "1,438 images 8×8×1 of sklearn-digits, 10 classes, 359 held out; cpu" in output
    assert "trained on 640 images in" in output
    assert "label_accuracy" in output
    assert f"published digits-cgan@1 in {store}: fp32, int8" in output


def test_the_package_is_complete_and_serves(published: tuple[Path, Path, str]) -> None:
    package = DirectoryStore(published[1]).open("digits-cgan", 1)
    assert {path.name for path in package.path.iterdir()} == {
        "manifest.json",
        "generator.onnx",
        "generator.int8.onnx",
        "checkpoint.pt",
        "samples.png",
        "metrics.json",
        "expected.npz",
        "report.html",
        "evaluation.json",
    }
    seeds = row_seeds(5, 12)
    for precision in package.manifest.precisions:
        generator = Generator(package, precision)
        images = generator.sample(seeds)
        assert images.shape == (12, 8, 8, 1)
        alone = np.concatenate([generator.sample(seeds[i : i + 1]) for i in range(12)])
        assert np.array_equal(images, alone)


def test_the_manifest_says_where_it_came_from(published: tuple[Path, Path, str]) -> None:
    manifest = DirectoryStore(published[1]).open("digits-cgan", 1).manifest
    assert manifest.classes == [str(digit) for digit in range(10)]
    assert manifest.provenance.recipe == "digits-cgan"
    assert manifest.provenance.trained_images == 640
    assert manifest.provenance.config["generator"]["latent_dim"] == manifest.latent.dim == 6
    assert manifest.provenance.data.images == 1438
    assert manifest.precisions["fp32"].parity.against == "torch"
    assert manifest.precisions["fp32"].parity.max_abs <= 1
    assert manifest.precisions["int8"].parity.against == "fp32"
    assert manifest.precisions["int8"].parity.psnr_db is not None
    measures = {
        "frechet_distance",
        "kernel_distance",
        "precision",
        "recall",
        "density",
        "coverage",
        "label_accuracy",
        "modes",
        "modes_divergence",
        "synthetic_to_real_accuracy",
        "real_and_synthetic_accuracy",
        "nearest_training_ratio",
        "nearer_to_training",
        "near_copies",
        "exact_copies",
        "smallest_class_variety",
    }
    assert set(manifest.evaluation) == measures | {f"int8.{measure}" for measure in measures}
    assert manifest.evaluation["label_accuracy"].samples == 200
    assert manifest.requirements == []
    folder = DirectoryStore(published[1]).open("digits-cgan", 1).path
    metrics, evaluation = (json.loads((folder / file).read_text()) for file in ("metrics.json", "evaluation.json"))
    assert evaluation["measures"]["label_accuracy"] == json.loads(
        manifest.evaluation["label_accuracy"].model_dump_json()
    )
    assert evaluation["package"] == "digits-cgan@1"
    assert metrics["trained_images"] == metrics["history"][-1]["images"] == 640
    assert "digits-cgan@1" in (folder / "report.html").read_text()


def test_the_packaged_checkpoint_holds_what_fine_tuning_needs(published: tuple[Path, Path, str]) -> None:
    package = DirectoryStore(published[1]).open("digits-cgan", 1)
    checkpoint = torch.load(package.path / "checkpoint.pt", weights_only=True)
    assert set(checkpoint["system"]) == {
        "generator",
        "generator_ema",
        "discriminator",
        "generator_optimizer",
        "discriminator_optimizer",
    }


def test_a_grid_has_one_row_per_class(published: tuple[Path, Path, str]) -> None:
    package = DirectoryStore(published[1]).open("digits-cgan", 1)
    with Image.open(package.path / "samples.png") as grid:
        assert grid.size == (16 * (48 + 8) - 8, 10 * (48 + 8) - 8)


def test_a_finished_run_is_not_trained_again(published: tuple[Path, Path, str]) -> None:
    run, store, _ = published
    result = CliRunner().invoke(train, command(run, store))
    assert result.exit_code == 0
    assert f"{run} is finished: digits-cgan@1 is in {store}" in result.output
    assert DirectoryStore(store).versions() == {"digits-cgan": [1]}


def test_a_finished_run_is_published_again_where_its_package_is_missing(
    published: tuple[Path, Path, str], tmp_path: Path
) -> None:
    arguments = command(published[0], tmp_path / "elsewhere", "--name", "other", "--precision", "fp32")
    result = CliRunner().invoke(train, arguments)
    assert result.exit_code == 0, result.output
    assert "resuming" in result.output
    package = DirectoryStore(tmp_path / "elsewhere").open("other", 1)
    assert list(package.manifest.precisions) == ["fp32"]
    first = DirectoryStore(published[1]).open("digits-cgan", 1)
    assert package.manifest.precisions["fp32"].sha256 == first.manifest.precisions["fp32"].sha256


def test_a_user_s_own_pictures_in_colour_and_without_classes(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    mine = tmp_path / "mine: #1"  # a name that YAML would take apart
    mine.mkdir()
    for index in range(30):
        pixels = random.integers(0, 256, (12, 10, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(mine / f"{index}.png")
    arguments = command(tmp_path / "run", tmp_path / "models", "--data", str(mine), "--name", "mine")
    result = CliRunner().invoke(train, arguments)
    assert result.exit_code == 0, result.output
    package = DirectoryStore(tmp_path / "models").open("mine", 1)
    assert package.manifest.classes == []
    assert package.manifest.provenance.data.source == "mine: #1"
    assert str(tmp_path) not in package.manifest.to_json()
    assert package.manifest.licence == "unspecified"
    assert Generator(package, "int8").sample(row_seeds(0, 3)).shape == (3, 12, 10, 3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "generatr.width=3"], "no field 'generatr'; did you mean 'generator'?"),
        (["--data", "/absent"], "/absent: does not exist; --data takes a folder"),
        (["--name", "Not Allowed"], "--name 'Not Allowed': "),
        (["--device", "cuda"], "cuda is asked for, but PyTorch finds no CUDA device"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(tmp_path: Path, more: list[str], message: str) -> None:
    if "cuda" in more and torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    result = CliRunner().invoke(train, command(tmp_path / "run", tmp_path / "models", *more))
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "models").exists()


def test_a_package_that_misses_a_requirement_is_published_and_marked(tmp_path: Path) -> None:
    arguments = command(tmp_path / "run", tmp_path / "models", "--precision", "fp32")
    arguments += ["--require", "coverage>=1.5", "--require", "modes>=1"]
    for _ in range(2):  # the second finds it finished
        result = CliRunner().invoke(train, arguments)
        assert result.exit_code == 3, result.output
    package = DirectoryStore(tmp_path / "models").open("digits-cgan", 1)
    assert [(each.expression, each.met) for each in package.manifest.requirements] == [
        ("coverage>=1.5", False),
        ("modes>=1", True),
    ]
    assert "misses <code>coverage&gt;=1.5</code>" in (package.path / "report.html").read_text()


def test_a_requirement_that_cannot_be_read_stops_before_training(tmp_path: Path) -> None:
    result = CliRunner().invoke(train, command(tmp_path / "run", tmp_path / "models", "--require", "covrage>=1"))
    assert result.exit_code == 1
    assert "no measure 'covrage'; did you mean 'coverage'?" in result.output
    assert not (tmp_path / "run").exists()


def test_int8_that_is_too_far_off_is_left_out(tmp_path: Path) -> None:
    arguments = command(tmp_path / "run", tmp_path / "models", "--set", "export.min_psnr_db=200")
    result = CliRunner().invoke(train, arguments)
    assert result.exit_code == 0, result.output
    assert "int8 is left out: " in result.output
    package = DirectoryStore(tmp_path / "models").open("digits-cgan", 1)
    assert set(package.manifest.precisions) == {"fp32"}
    assert not (package.path / "generator.int8.onnx").exists()


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    arguments = command(tmp_path / "run", tmp_path / "models", "--set", "budget.images=100000000")
    latentd = Path(sys.executable).parent / "latentd"
    process = subprocess.Popen(
        [latentd, "train", *arguments],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not metrics.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert "images/s" in errors
    assert "all saved in" in output
    assert f"latentd train digits-cgan --run {tmp_path / 'run'}" in output
    assert (tmp_path / "run" / "checkpoint.pt").exists()
    assert DirectoryStore(tmp_path / "models").versions() == {}
