"""`latentd synthesize` as people type it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from runtime.store import DirectoryStore
from trainer.synthesis.cli import synthesize


def run(store: DirectoryStore, out: Path, *arguments: str) -> Result:
    """The command on ``tiny``, in one process."""
    fixed = ["tiny", "--store", str(store.root), "--out", str(out), "--workers", "1"]
    return CliRunner().invoke(synthesize, [*fixed, *arguments])


def test_a_set_and_what_is_said_of_it(tiny_store: DirectoryStore, tmp_path: Path) -> None:
    options = ("--format", "npz", "--per-class", "2", "--classes", "3, 5", "--seed", "9", "--precision", "int8")
    result = run(tiny_store, tmp_path / "out", *options)
    assert result.output.splitlines()[0] == f"{tmp_path / 'out'}: 4 rows of tiny@1 as npz"
    with np.load(tmp_path / "out" / "train.npz") as data:
        assert (data["labels"].tolist(), data["seeds"].tolist()) == ([3, 5, 3, 5], [9, 10, 11, 12])
    assert "(4 were there)" in run(tiny_store, tmp_path / "out", *options).output


def test_filters_by_name(tiny_store: DirectoryStore, tmp_path: Path) -> None:
    options = ("--format", "npz", "--per-class", "3", "--drop-duplicates-of", "sklearn-digits")
    result = run(tiny_store, tmp_path / "out", *options, "--duplicate-quantile", "0")
    assert result.exit_code == 0, result.output
    assert "note: sklearn-digits is not the very set of tiny@1, random weights" in result.output
    assert "  --drop-duplicates-of: 0 dropped and replaced" in result.output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--format", "npz"], 1, "--per-class is missing"),
        (["--format", "zip", "--per-class", "1"], 2, "'zip' is not one of 'folder', 'webdataset'"),
        (["--format", "npz", "--per-class", "0"], 2, "0 is not in the range x>=1"),
        (["--format", "npz", "--per-class", "1", "--truncation", "0"], 2, "0.0 is not in the range 0<x<=1"),
        (["--format", "npz", "--per-class", "1", "--min-confidence", "0.3"], 2, "goes with --reject-unrecognised"),
        (["--format", "npz", "--per-class", "1", "--duplicate-quantile", "0"], 2, "goes with --drop-duplicates-of"),
        (["--format", "npz", "--per-class", "1", "--reject-unrecognised", "/absent"], 1, "/absent: does not exist"),
    ],
)
def test_what_is_refused_leaves_nothing(
    tiny_store: DirectoryStore, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    result = run(tiny_store, tmp_path / "out", *arguments)
    assert result.exit_code == code
    assert message in result.output
    assert not (tmp_path / "out").exists()


def test_no_torch_is_loaded_without_a_judge(tiny_store: DirectoryStore, tmp_path: Path) -> None:
    options = ["tiny", "--store", str(tiny_store.root), "--out", str(tmp_path / "out"), "--format", "parquet"]
    code = (
        "import sys\nfrom trainer.synthesis.cli import synthesize\n"
        f"synthesize({[*options, '--per-class', '1', '--workers', '1']!r}, standalone_mode=False)\n"
        "print('loaded:', [name for name in ('torch', 'sklearn', 'yaml', 'fastapi', 'grpc') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom trainer.synthesis.cli import synthesize\nsynthesize(['--help'], standalone_mode=False)\n"
        "print('loaded:', [name for name in ('numpy', 'onnxruntime', 'pydantic', 'torch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"
