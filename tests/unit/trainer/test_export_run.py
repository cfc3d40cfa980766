"""`latentd export`: a package from a run, finished or stopped, without training."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from runtime.generator import Generator
from runtime.latents import row_seeds
from runtime.store import DirectoryStore
from tests.unit.trainer.runs import TINY
from trainer.errors import RunError
from trainer.export_cli import export_command
from trainer.export_run import ExportRequest, export_run
from trainer.training import TrainRequest, train


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has published ``mine@1``, fp32 alone."""
    folder = tmp_path_factory.mktemp("finished")
    settings = (*TINY, "budget.images=160", "export.precisions=[fp32]")
    train(TrainRequest("digits-cgan", folder / "run", folder / "models", settings, "mine", ""), print)
    return folder


def test_a_run_is_published_again_with_other_precisions(finished: Path) -> None:
    said: list[str] = []
    overrides = ("export.precisions=[fp32, int8, fp16]",)
    package = export_run(ExportRequest(finished / "run", finished / "models", overrides), said.append)
    assert package.manifest.reference == "digits-cgan@1"
    assert package.manifest.provenance.recipe == "digits-cgan"
    assert set(package.manifest.precisions) == {"fp32", "int8", "fp16"}
    assert all(package.manifest.precisions[name].speed for name in ("int8", "fp16"))
    assert package.manifest.precisions["int8"].method["method"] == "int8"
    assert said[0].endswith("run: 160 images seen")
    first = DirectoryStore(finished / "models").open("mine", 1)
    seeds = row_seeds(0, 5)
    assert (Generator(first, "fp32").sample(seeds) == Generator(package, "fp32").sample(seeds)).all()


def test_the_run_goes_on_as_if_nothing_had_happened(finished: Path) -> None:
    export_run(ExportRequest(finished / "run", finished / "models", (), "other"), print)
    said: list[str] = []
    settings = (*TINY, "budget.images=160", "export.precisions=[fp32]")
    train(TrainRequest("digits-cgan", finished / "run", finished / "models", settings, "mine", ""), said.append)
    assert "is finished: mine@1" in said[0]


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no folder of a run that has saved; latentd train makes one"):
        export_run(ExportRequest(tmp_path, tmp_path / "models"), print)
    assert not (tmp_path / "models").exists()


def test_what_decides_the_training_cannot_be_changed(finished: Path) -> None:
    done = CliRunner().invoke(export_command, [str(finished / "run"), "--set", "generator.width=16"])
    assert done.exit_code == 1
    assert "begun with generator.width=8, now generator.width=16" in done.output


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from trainer.export_cli import export_command as command\n"
        "try: command(['--help'])\n"
        "except SystemExit: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "latentd export runs/mnist" in done.stdout
