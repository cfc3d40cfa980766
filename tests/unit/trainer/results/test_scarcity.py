"""The study of scarcity: its images, arms and intervals, and the whole of it at the smallest size."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from runtime.store import DirectoryStore
from tests.kit.tiny_package import publish_tiny
from tests.unit.trainer.runs import TINY
from trainer.data import DataConfig, DataSplit, LabelledImages, open_data
from trainer.errors import ConfigError, DataError
from trainer.results.order import Order
from trainer.results.scarcity import study
from trainer.results.scarcity.arms import Bench, Score, nearest
from trainer.results.scarcity.classifier import train_classifier
from trainer.results.scarcity.findings import Findings, paired
from trainer.results.scarcity.images import draw_few, other_digits, varied
from trainer.results.scarcity.plan import (
    ARMS,
    BOTH,
    CLASSIC,
    OTHER_DIGITS,
    OTHERS_THEMSELVES,
    REAL,
    SYNTHETIC,
    TRANSFER,
    Arm,
    Cell,
    Extra,
    GeneratorPlan,
    Plan,
)
from trainer.results.scarcity.plot import draw
from trainer.results.scarcity.tables import render


@pytest.fixture(scope="module")
def digits() -> DataSplit:
    return open_data(DataConfig())


def findings(gains: dict[int, tuple[float, ...]]) -> Findings:
    """Two or more seeds per size, `transfer` better than `classic` by these points."""
    plan = Plan(sizes=tuple(gains), seeds=tuple(range(len(next(iter(gains.values()))))))
    found: dict[Cell, dict[str, Score]] = {}
    for size, points in gains.items():
        for seed, gain in enumerate(points):
            classic = 0.9 + 0.001 * seed
            accuracies = {REAL: 0.7, CLASSIC: classic, SYNTHETIC: 0.8, BOTH: classic - 0.001}
            accuracies |= {TRANSFER: classic + gain / 100, OTHERS_THEMSELVES: classic + 0.001}
            found[Cell(size, seed)] = {
                arm: Score(accuracy, 0.5 if arm in (BOTH, TRANSFER) else None, 1.0)
                for arm, accuracy in accuracies.items()
            }
    return Findings(plan, found)


def test_fewer_images_are_among_more_and_others_are_checked(digits: DataSplit) -> None:
    few, more = draw_few(digits, 3, 1), draw_few(digits, 7, 1)
    assert np.bincount(few.real.labels).tolist() == [3] * 10
    pixels = {image.tobytes() for image in more.real.images}
    assert {image.tobytes() for image in few.real.images} <= pixels
    assert not {image.tobytes() for image in more.checked.images} & pixels
    assert {image.tobytes() for image in draw_few(digits, 3, 2).real.images} != {
        image.tobytes() for image in few.real.images
    }


def test_too_few_images_and_images_without_classes_are_refused(digits: DataSplit) -> None:
    with pytest.raises(DataError, match=r"'\d' has \d+ images, more than 500 are needed"):
        draw_few(digits, 500, 0)
    with pytest.raises(DataError, match="has no classes"):
        draw_few(replace(digits, train=digits.train.unlabelled()), 5, 0)


def test_variations_keep_their_labels_and_are_no_copies(digits: DataSplit) -> None:
    few = draw_few(digits, 2, 0).real
    many = varied(few, 3, 0)
    assert len(many) == 60
    assert many.labels.tolist() == few.labels.tolist() * 3
    assert nearest(many, few).min() > 0
    assert np.array_equal(many.images, varied(few, 3, 0).images)


def test_other_digits_are_as_large_as_mnists_and_centred() -> None:
    like = LabelledImages(np.zeros((1, 28, 28, 1), np.uint8), np.zeros(1, np.int64), tuple("0123456789"))
    others = other_digits(like)
    assert others is not None
    assert others.images.shape == (1797, 28, 28, 1)
    mass = others.images[..., 0].astype(float)
    for axis in (1, 2):
        centre = (mass.sum(axis) * (np.arange(28) - 13.5)).sum(1) / mass.sum((1, 2))
        assert np.abs(centre).max() < 0.5
    assert other_digits(replace(like, class_names=tuple("abcdefghij"))) is None
    assert other_digits(replace(like, images=np.zeros((1, 28, 28, 3), np.uint8))) is None


def test_a_classifier_learns_and_is_a_function_of_its_seed(digits: DataSplit) -> None:
    few = draw_few(digits, 20, 0).real
    one, again, other = (train_classifier(few, None, classic=False, steps=80, seed=seed) for seed in (1, 1, 2))
    assert one.accuracy(digits.held_out) > 0.75
    weights = [torch.cat([part.flatten() for part in each.parameters()]) for each in (one, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = DirectoryStore(tmp_path_factory.mktemp("store"))
    publish_tiny(store, "tiny")
    return store.open("tiny", 1).path


@pytest.mark.parametrize(
    "extra",
    [
        Extra(origin="own", per_class=20),
        Extra(origin="own", per_class=20, confident=0.5, novel=0.5),
        Extra(origin=OTHER_DIGITS),
    ],
)
def test_an_arm_is_scored_on_held_out_images(digits: DataSplit, package: Path, tmp_path: Path, extra: Extra) -> None:
    bench, cell, teacher = Bench(digits, 5), Cell(4, 0), tmp_path / "teacher.pt"
    bench.run(cell, ARMS[1], None, teacher)
    generated = extra.origin != OTHER_DIGITS
    arm = Arm(name="some", classic=True, extra=extra)
    score = bench.run(cell, arm, package if generated else None, teacher)
    assert 0 <= score.accuracy <= 1
    assert (score.newness is not None) == generated


def test_intervals_are_those_of_students_t() -> None:
    gain = paired([0.02, 0.03, 0.04], [0.01, 0.01, 0.01])
    assert gain.mean == pytest.approx(0.02)
    assert gain.margin == pytest.approx(4.302653 * 0.01 / 3**0.5, rel=1e-5)  # t of 2 degrees of freedom
    assert not gain.proven
    assert paired([0.2, 0.21, 0.2], [0.1, 0.1, 0.1]).proven
    assert paired([0.1, 0.1, 0.1], [0.2, 0.21, 0.2]).refuted


def test_the_verdict_follows_from_the_numbers() -> None:
    text = render(findings({5: (1.9, 2.0, 2.1), 50: (-0.1, 0.2, -0.2)}), "mnist", "p.svg")
    assert "| 5 | 3 | 70.00% | 90.10% | 80.00% | 90.00% | 92.10% |" in text
    assert "| **+2.00 ± 0.25** | 0.50 | 0.50 |" in text
    assert "proven at 5 (+2.00 ± 0.25); open at 50 (-0.03 ± 0.52) per class." in text
    assert "Aims, *transfer*: no loss at any size: no, the mean is below zero at 50 per class, within the int" in text
    assert "excludes zero at one size at least: yes; a whole point" in text
    assert "smallest size, 5 per class: yes, +2.00 ± 0.25." in text
    assert "take its place: the contrary is proven at 5 (-10.10 ± 0.25), 50" in text
    assert "other digit set itself in the classifier's batches: proven at 5 (+1.90 ± 0.25); open at 50" in text


def test_a_proven_loss_is_called_one() -> None:
    text = render(findings({5: (-2.0, -2.1, -1.9)}), "mnist", "p.svg")
    assert "*transfer*: no loss at any size: no, the mean is below zero at 5 per class, beyond doubt at 5;" in text
    assert "smallest size, 5 per class: no, -2.00 ± 0.25." in text


def test_the_plot_shows_every_mean() -> None:
    drawn = ElementTree.fromstring(draw(findings({5: (1.9, 2.0, 2.1), 50: (-0.1, 0.2, -0.2)})))  # noqa: S314 - ours
    points = [each for each in drawn.iter() if each.tag.endswith("circle") and each.get("r") == "3.5"]
    assert len(points) == 5 * 2 + 3 * 2
    assert all(0 < float(each.get("cy", "nan")) < 380 for each in points)
    assert ElementTree.fromstring(draw(Findings(Plan(), {}))) is not None  # noqa: S314


def test_without_another_set_the_arms_come_from_scratch() -> None:
    plan = Plan().without_transfer()
    assert not any(generator.transfer for generator in plan.generators.values())
    assert {arm.extra.origin for arm in plan.arms if arm.extra} == {"own"}
    assert [arm.name for arm in plan.arms][:4] == [REAL, CLASSIC, SYNTHETIC, BOTH]


def test_names_of_arms_differ() -> None:
    names = [arm.name for arm in Plan().arms]
    assert len(set(names)) == len(names)


def order(folder: Path, **changes: Any) -> Order:
    return Order(
        data_path=Path("digits"),
        folder=folder / "runs",
        figures=folder / "figures",
        pictures=folder / "pictures",
        pictures_link="pictures",
        **changes,
    )


def test_one_seed_is_refused(tmp_path: Path, digits: DataSplit) -> None:
    yardstick: Any = SimpleNamespace(data=digits)
    with pytest.raises(ConfigError, match="--repeats 1: at least 2"):
        next(study.section(order(tmp_path, repeats=1, per_class=(2,)), yardstick))


@pytest.fixture
def smallest() -> Iterator[Plan]:
    generators = {"own": GeneratorPlan(variations=60, images=32), "other": GeneratorPlan(transfer=True, images=0)}
    settings = (*TINY, "export.precisions=[fp32]", "device.threads=1", "alarm.enabled=false")
    arms = tuple(replace(arm, extra=arm.extra and replace(arm.extra, per_class=5)) for arm in ARMS)
    yield Plan(
        sizes=(3,), seeds=(0, 1), arms=arms, generators=generators, steps=5, settings=settings,
        parent_images=32,
    )  # fmt: skip


@pytest.mark.slow
def test_the_whole_study_is_done_once(
    tmp_path: Path,
    digits: DataSplit,
    smallest: Plan,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    yardstick: Any = SimpleNamespace(data=digits)
    *_, text = study.section(order(tmp_path, jobs=2), yardstick, smallest)
    assert "2 of 2 cells to do: 4 generators and 10 classifiers" in capsys.readouterr().out
    assert "| 3 | 2 | " in text
    assert (tmp_path / "pictures" / "scarcity.svg").exists()
    kept = json.loads((tmp_path / "figures" / "scarcity" / "3-0.json").read_text())
    assert len(kept["value"]["scores"]) == 5

    monkeypatch.setattr("trainer.results.scarcity.generators.train_recipe", None)
    *_, again = study.section(order(tmp_path), yardstick, smallest)
    assert again == text
    assert "0 of 2 cells to do" in capsys.readouterr().out
