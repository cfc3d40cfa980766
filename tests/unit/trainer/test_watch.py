"""Quality on the way: the best checkpoint, the early end at a target."""

import json
from pathlib import Path

import pytest
import torch

from tests.unit.trainer.runs import tiny_loop, tiny_recipe
from tests.unit.trainer.test_vitals import Replay
from trainer.checkpoints import read_checkpoint
from trainer.config import parse
from trainer.data import DataConfig, open_data
from trainer.errors import ConfigError
from trainer.quality import Quality, QualityConfig, QualityTarget
from trainer.signals import StopRequest
from trainer.systems.base import System

MEASURED = ("quality.every=64", "quality.samples=100", "alarm.enabled=false")


def test_real_images_are_as_good_as_real_and_noise_is_not() -> None:
    data = open_data(DataConfig()).train
    quality = Quality(QualityConfig(samples=500), data)
    real = quality.measure(Replay(data))["frechet_ratio"]
    clones = quality.measure(Replay(data.at_most(5)))["frechet_ratio"]
    assert real < 4  # the first 500 rows, which no shuffle made alike
    assert clones > 20


@pytest.mark.parametrize(
    ("metric", "value", "reached"),
    [
        ("frechet_ratio", 6.0, True),
        ("frechet_ratio", 5.0, True),
        ("frechet_ratio", 4.9, False),
        ("variety", 0.7, False),
    ],
)
def test_targets(metric: str, value: float, reached: bool) -> None:
    target = parse(QualityTarget, {"metric": metric, "value": value}, "x")
    assert target.reached({"frechet_ratio": 5.0, "variety": 0.6}) is reached
    assert not QualityTarget(metric="classes", value=0.1).reached({"frechet_ratio": 5.0})


def test_unknown_metrics_are_refused() -> None:
    with pytest.raises(ConfigError, match="'frechet_ratio', 'variety' or 'classes'"):
        tiny_recipe("budget.target={metric: fid, value: 3}")


def test_the_best_state_is_kept_and_packaged(tmp_path: Path) -> None:
    loop = tiny_loop(tiny_recipe("training.keep=best", *MEASURED), tmp_path)
    assert loop.run(StopRequest())
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    values = {line["images"]: line["quality_frechet_ratio"] for line in lines}
    assert len(values) == 10
    best = min(values, key=lambda images: values[images])
    checkpoint, position = loop.settle()
    assert checkpoint == tmp_path / "best.pt"
    assert position["images"] == best
    kept = read_checkpoint(checkpoint)
    assert kept["quality"]["best"] == values[best]
    system: System = loop._system
    assert all(torch.equal(value, kept["system"]["generator"][name]) for name, value in
               system.state_dict()["generator"].items())  # fmt: skip


def test_the_last_state_is_packaged_by_default(tmp_path: Path) -> None:
    loop = tiny_loop(tiny_recipe(), tmp_path)
    loop.run(StopRequest())
    assert loop.settle() == (tmp_path / "checkpoint.pt", loop.position)
    assert not (tmp_path / "best.pt").exists()


def test_a_run_ends_at_its_target_and_stays_ended(tmp_path: Path) -> None:
    recipe = tiny_recipe("budget.target={metric: variety, value: 0.0001}", *MEASURED)
    loop = tiny_loop(recipe, tmp_path)
    assert loop.run(StopRequest())
    assert loop.position["images"] == 64
    assert loop.target_reached
    resumed = tiny_loop(recipe, tmp_path)
    assert resumed.run(StopRequest())
    assert resumed.position["images"] == 64


def test_events_say_what_metrics_say(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tiny_loop(tiny_recipe(), tmp_path).run(StopRequest())
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    logged = [(event.step, event.value) for event in events.Scalars("loss_generator")]
    assert logged == [(line["images"], pytest.approx(line["loss_generator"])) for line in lines]
    assert len(events.Images("samples")) == 2
