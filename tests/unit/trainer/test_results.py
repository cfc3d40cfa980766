"""`make results`: a table of what was measured; nothing is measured twice."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.unit.trainer.data.test_sources import npz
from trainer.data import DataConfig, open_data
from trainer.evaluation import judge as judge_module
from trainer.evaluation.comparison import Classes, Likeness
from trainer.results import __main__ as results
from trainer.results.__main__ import main
from trainer.results.table import Heading, Row, render

FLOOR = Likeness(2.0, 0.9, 0.91, 1.0, 0.97)
HEADING = Heading("mnist", 10, 5000, FLOOR, 0.991, "../docs/results")


def test_a_row_holds_what_was_measured() -> None:
    likeness, classes = Likeness(5.0, 0.8, 0.7, 1.1, 0.6), Classes(0.031, 0.985, 0.964)
    row = Row("cgan", 60_000, 60.0, 75.4, 812.3, "", likeness, classes, "cgan.png")
    lines = render(HEADING, [row]).splitlines()
    assert "| *real images* | | | | | 2 | 1.00 | 0.900 | 0.910 | 1.000 | 0.970 | | | | |" in lines
    assert (
        "| `cgan` | 1,000 | 60,000 | 75 s | 812 MiB | 5 | 2.50 | 0.800 | 0.700 | 1.100 | 0.600 | ±3.1% | 98.5% | 96.4% "
        "| [grid](<../docs/results/cgan.png>) |"
    ) in lines
    counts = {line.count("|") for line in lines if line.startswith("|")}
    assert counts == {16}


def test_a_run_that_failed_says_so_in_the_table() -> None:
    text = render(HEADING, [Row("gan-mlp", 100, 1.0, 2.0, 300.0, "collapsed 2 times", None, None, None)])
    assert "- `gan-mlp`: collapsed 2 times" in text
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {16}


def test_a_recipe_is_trained_measured_and_not_measured_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_module, "_STEPS_LEAST", 30)
    monkeypatch.setattr(judge_module, "_EPOCHS", 0)
    digits = open_data(DataConfig())
    rows = np.flatnonzero(digits.train.labels < 3)
    data = npz(tmp_path, digits.train.images[rows], digits.train.labels[rows])
    arguments = ["--data", str(data), "--minutes", "0.01", "--samples", "100", "--recipe", "digits-cgan"]
    arguments += ["--folder", str(tmp_path / "runs"), "--out", str(tmp_path / "RESULTS.md")]
    arguments += ["--pictures", str(tmp_path / "pictures")]
    done = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    table = (tmp_path / "RESULTS.md").read_text()
    assert "on set.npz for at most 0.01 min" in table
    assert "[grid](<pictures/digits-cgan.png>)" in table
    assert (tmp_path / "pictures" / "digits-cgan.png").exists()
    assert str(tmp_path) not in table

    monkeypatch.setattr(results, "train_recipe", None)
    again = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert again.exit_code == 0
    assert (tmp_path / "RESULTS.md").read_text() == table


def test_wrong_data_is_answered_in_one_sentence(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["--data", str(tmp_path / "absent"), "--folder", str(tmp_path / "runs")])
    assert done.exit_code == 1
    assert "absent: does not exist" in done.output
