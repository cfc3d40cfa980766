"""The command line: instant help, orders made from options, and the exit codes of both ways in."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from runtime.fine_tuning import FineTuneConfig, read_order
from runtime.package import Package
from runtime.store import DirectoryStore
from tests.kit.image_sets import digits, write_folder, write_npz
from trainer.finetune.cli import finetune

HEAVY = ("torch", "sklearn", "onnx", "onnxruntime", "numpy")
SETTINGS = [
    argument
    for setting in ("epochs=4", "max_minutes=60", "precisions=[fp32]", "rehearsal=0", "require=[]")
    for argument in ("--set", setting)
]


def test_help_and_settings_load_nothing_heavy() -> None:
    code = (
        "import sys\nfrom trainer.finetune.cli import finetune\n"
        "for option in ('--help', '--settings'):\n"
        "    finetune([option], standalone_mode=False)\n"
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "loaded: []"
    assert "latentd finetune digits-cgan --data my-images" in run.stdout
    for field in FineTuneConfig.model_fields:
        assert f"\n{field}=" in f"\n{run.stdout}"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Missing argument 'PACKAGE'"),
        (["mine"], 2, "Missing option '--data'"),
        (["mine", "--data", "x"], 2, "Missing option '--run'"),
        (["mine", "--data", "x", "--job", "y"], 2, "--job stands alone"),
        (["mine", "--data", "x", "--run", "y", "--set", "rank=0"], 1, "rank: Input should be greater than or equal"),
        (["mine", "--data", "x", "--run", "y", "--set", "rank"], 1, "write field=value"),
        (["mine", "--data", "x", "--run", "y", "--set", "rate=1"], 1, "rate: no such field; allowed are classes"),
        (["mine", "--data", "x", "--run", "y", "--require", "good"], 1, "require: 'good': write MEASURE<NUMBER"),
        (["mine", "--data", "x", "--run", "y"], 1, "not in the store, which holds no packages at all"),
        (["--job", "nowhere"], 2, "nowhere/job.json: cannot be read: No such file or directory"),
    ],
)
def test_wrong_command_lines_say_what_is_allowed(
    arguments: list[str], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(finetune, arguments)
    assert message in result.output
    assert result.exit_code == code


def test_a_command_publishes_and_the_same_command_says_so(base: Package, tmp_path: Path) -> None:
    flat = write_folder(tmp_path / "stars", digits((3,), 24), flat=True)
    store, run = base.path.parents[1], tmp_path / "run"
    command = ["digits-cgan", "--data", str(flat), "--run", str(run), "--store", str(store), "--label", "star"]
    command += ["--name", "stars", *SETTINGS]
    first = CliRunner().invoke(finetune, command, catch_exceptions=False)
    assert first.exit_code == 0, first.output
    assert "digits-cgan@1 on 19 images 8×8×1 of" in first.output
    assert "11 classes; new: star (begins as " in first.output
    assert f"published stars@1 in {store}" in first.output
    assert DirectoryStore(store).open("stars", 1).manifest.classes[-1] == "star"
    job = read_order(run).job
    again = CliRunner().invoke(finetune, command)
    assert (again.exit_code, read_order(run).job) == (0, job)
    assert "is finished: stars@1" in again.output


def test_what_would_be_trained_can_be_read_first(base: Package, tmp_path: Path) -> None:
    data = write_npz(tmp_path / "set.npz", digits((3, 7), 40))
    command = ["digits-cgan", "--data", str(data), "--store", str(base.path.parents[1]), "--show"]
    result = CliRunner().invoke(finetune, [*command, "--set", "adapter=norm"])
    assert result.exit_code == 0, result.output
    assert "adapter: norm" in result.output
    assert "base: digits-cgan@1" in result.output


def test_a_job_that_cannot_be_done_ends_with_its_code(base: Package, tmp_path: Path) -> None:
    data = write_npz(tmp_path / "set.npz", digits((3, 7), 10))
    store = str(base.path.parents[1])
    run = CliRunner().invoke(
        finetune, ["digits-cgan", "--data", str(data), "--run", str(tmp_path / "run"), "--store", store]
    )
    assert run.exit_code == 1
    assert "Error: " in run.output and "10 images, at least 20 are needed" in run.output
