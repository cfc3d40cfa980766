"""Imports go one way, and no command loads what it does not need."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

TRAINING = {"torch", "lightning_fabric", "onnx", "onnxscript", "sklearn", "scipy"}
SERVING = {"fastapi", "starlette", "uvicorn", "grpc", "prometheus_client"}


def loaded_by(code: str) -> set[str]:
    """Top-level modules in memory after `code` ran in an interpreter of its own."""
    report = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    run = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(run.stdout.splitlines()[-1].split())


def test_the_import_contracts_hold() -> None:
    run = subprocess.run([BIN / "lint-imports"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert re.search(r"Contracts: [1-9]\d* kept, 0 broken\.", run.stdout)


def test_the_report_of_loaded_modules_sees_what_was_loaded() -> None:
    assert "onnx" in loaded_by("import onnx")


@pytest.mark.parametrize(
    "code",
    [
        "import service.cli",
        "import service.client.cli",
        "import runtime.generator, runtime.store, runtime.images",
        "import runtime.models_cli",
        "from click.testing import CliRunner; from runtime.cli import main\n"
        "for arguments in (['--help'], ['serve', '--help'], ['sample', '--help'], ['--version']):\n"
        "    assert CliRunner().invoke(main, arguments).exit_code == 0",
    ],
    ids=["service.cli", "client", "runtime", "latentd models", "latentd --help"],
)
def test_serving_never_loads_what_trains(code: str) -> None:
    assert not loaded_by(code) & TRAINING


def test_runtime_needs_no_framework() -> None:
    loaded = loaded_by("import runtime.cli, runtime.generator, runtime.store, runtime.images, runtime.models_cli")
    assert not loaded & (TRAINING | SERVING)


def test_the_trainers_commands_are_there_before_torch_is() -> None:
    assert not loaded_by("import trainer.cli") & (SERVING | {"torch"})


def test_training_never_loads_what_serves() -> None:
    modules = [
        ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
        for path in sorted((CHECKOUT / "trainer").rglob("*.py"))
        if path.name not in {"__init__.py", "__main__.py"}
    ]
    loaded = loaded_by(f"import {', '.join(modules)}")
    assert "torch" in loaded, "this test was to load the whole trainer"
    assert not loaded & SERVING


def test_latentd_help_is_quick_to_start() -> None:
    """A command line that loads a framework for `--help` would: what it loads is in the report."""
    run = subprocess.run([BIN / "latentd", "--help"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "serve" in run.stdout
    assert "needs latentd[" not in run.stdout
