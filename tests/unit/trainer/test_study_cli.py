"""`latentd study`: what it says before anything heavy is loaded, and what it refuses."""

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from trainer.results.studies import STUDIES
from trainer.study_cli import study


def test_every_study_is_a_command_with_an_example() -> None:
    assert set(study.commands) == set(STUDIES)
    for name in STUDIES:
        shown = CliRunner().invoke(study, [name, "--help"])
        assert shown.exit_code == 0
        assert f"latentd study {name} --data path/to/mnist" in shown.output


def test_help_needs_no_torch() -> None:
    code = (
        "import sys; from trainer.study_cli import study\n"
        "try: study(['scarcity', '--help'])\n"
        "except SystemExit: assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--per-class" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scarcity"], "Missing option '--data'"),
        (["scarcity", "--data", "x", "--repeats", "1"], "1 is not in the range x>=2"),
        (["speed", "--data", "{folder}/absent", "--folder", "{folder}"], "absent: does not exist"),
    ],
)
def test_wrong_options_are_answered_in_one_sentence(tmp_path: Path, arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(study, [argument.format(folder=tmp_path) for argument in arguments])
    assert done.exit_code
    assert message in done.output
    assert "Traceback" not in done.output
