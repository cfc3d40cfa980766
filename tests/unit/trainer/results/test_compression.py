"""The study of compression: its table, its targets, and the whole of it at the smallest size."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.unit.trainer.runs import TINY
from trainer.compress.quantization import METHODS
from trainer.data import DataConfig, open_data
from trainer.results.compression import study
from trainer.results.compression.plan import BATCHES, FORMS, MODELS, TARGETS, Model, Row
from trainer.results.compression.tables import render
from trainer.results.order import Order

GOOD = Row(
    "DCGAN 28", "int8", size=0.26, speeds=(1.7, 2.9, 3.1), psnr_db=41.3, frechet=(1.05, 1.0),
    accuracy=None, features="judge", vnni=True,
)  # fmt: skip


def table(*rows: Row) -> str:
    return render("mnist", 5, 1000, 2000, rows)


def test_every_model_has_its_line_in_every_form() -> None:
    rows = [replace(GOOD, title=model.title, form=form.title) for form in reversed(FORMS) for model in MODELS]
    lines = [line for line in table(*rows).splitlines() if line.startswith("| ")][1:]
    assert len(lines) == len(MODELS) * len(FORMS) == 48
    assert lines[0].startswith("| MLP | fp32 | 0.26 | 1.70 | 2.90 | 3.10 | 41.3 dB | 1 → 1.05 |")
    assert len({line.count("|") for line in table(*rows).splitlines() if line.startswith("|")}) == 1


def test_what_could_not_be_made_says_why_in_a_line_as_wide() -> None:
    text = table(GOOD, replace(GOOD, title="LSTM", verdict="the trainer gave up"))
    assert "| LSTM | int8 | the trainer gave up |" in text
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_targets_follow_from_the_numbers() -> None:
    slow = replace(GOOD, title="VAE-GAN", speeds=(1.2, 2.9, 3.1), frechet=(1.2, 1.0), accuracy=(0.90, 0.99))
    foreign = replace(GOOD, title="LSTM", speeds=(0.1, 0.1, 0.1))
    text = table(GOOD, slow, foreign)
    assert "- int8: size ≤ 0.28: met by all 2." in text
    assert "- int8: speed of single images ≥ 1.5: missed by VAE-GAN (1.2); met by DCGAN 28." in text
    assert "- int8: increase of the Fréchet distance ≤ 0.1: missed by VAE-GAN (0.2); met by DCGAN 28." in text
    assert "- int8: loss of label accuracy ≤ 0.01: missed by VAE-GAN (0.09); met by none." in text
    assert "- pruned" not in text
    assert "the processor has VNNI" in text


def test_the_targets_are_those_of_the_issue() -> None:
    bounds = {(target.form, target.title): target.bound for target in TARGETS}
    assert bounds["int8", "speed in batches of 8"] == 2.5
    assert bounds["pruned + int8", "speed in batches of 8"] == 6.0
    assert BATCHES == (1, 8, 32)
    methods: list[METHODS] = [form.method for form in FORMS if form.method is not None]
    assert {method.method for method in methods} == {"fp16", "int8", "int8-weights"}


@pytest.mark.slow
def test_the_whole_study_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digits = open_data(DataConfig())
    file = tmp_path / "digits.npz"
    np.savez(
        file, x=digits.train.images, y=digits.train.labels, x_test=digits.held_out.images, y_test=digits.held_out.labels
    )
    overrides = tuple(each for each in TINY if not each.startswith(("budget", "training.grids")))
    monkeypatch.setattr(study, "MODELS", (Model("DCGAN 28", "digits-cgan", overrides),))
    order = Order(
        data_path=file, folder=tmp_path / "runs", figures=tmp_path / "figures", pictures=tmp_path / "pictures",
        pictures_link="pictures", minutes=0.05, samples=100, distillation_steps=5,
    )  # fmt: skip
    yardstick: Any = SimpleNamespace(data=digits)
    *_, text = study.section(order, yardstick)
    lines = [line for line in text.splitlines() if line.startswith("| DCGAN 28 |")]
    assert [line.split(" | ")[1] for line in lines] == [form.title for form in FORMS]
    assert "| fp32 | 1.00 |" in lines[0]
    kept = json.loads((tmp_path / "figures" / "compression" / "dcgan-28-pruned-int8.json").read_text())
    assert kept["value"]["verdict"] == ""
    assert kept["value"]["size"] < 0.9

    capsys.readouterr()
    monkeypatch.setattr(study, "train_recipe", None)
    *_, again = study.section(order, yardstick)
    assert again == text
    assert capsys.readouterr().out == ""
