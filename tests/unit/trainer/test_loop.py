"""The loop: records, stops, resumes bit for bit."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.unit.trainer.runs import assert_same_state, tiny_loop, tiny_recipe
from trainer.checkpoints import Position, read_checkpoint
from trainer.data import DataConfig, open_data
from trainer.errors import RunError
from trainer.run_folder import RunFolder
from trainer.signals import StopRequest, stop_on_signals

CHECKOUT = Path(__file__).resolve().parents[3]


def stop_at(images: int) -> tuple[StopRequest, Any]:
    """A stop request, and the callback that makes it after so many images."""
    stop = StopRequest()

    def on_step(position: Position) -> None:
        if position["images"] >= images:
            stop.signal_number = signal.SIGINT

    return stop, on_step


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 40 steps without a break."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert tiny_loop(tiny_recipe(), folder).run(StopRequest())
    return folder


def test_a_run_leaves_its_records(uninterrupted: Path) -> None:
    lines = [json.loads(line) for line in (uninterrupted / "metrics.jsonl").read_text().splitlines()]
    assert [line["images"] for line in lines] == list(range(64, 641, 64))
    assert lines[-1]["learning_rate_factor"] == pytest.approx(0.05)
    assert {"loss_generator", "loss_discriminator", "penalty_r1", "images_per_second"} <= lines[0].keys()
    assert [grid.name for grid in sorted((uninterrupted / "samples").iterdir())] == [
        "0000000320.png",
        "0000000640.png",
    ]
    assert read_checkpoint(uninterrupted / "checkpoint.pt")["position"]["images"] == 640


@pytest.mark.parametrize("images", [16, 272, 320])
def test_resume_is_exact(uninterrupted: Path, tmp_path: Path, images: int) -> None:
    stop, on_step = stop_at(images)
    assert not tiny_loop(tiny_recipe(), tmp_path).run(stop, on_step)
    resumed = tiny_loop(tiny_recipe(), tmp_path)
    assert resumed.position["images"] == images
    assert resumed.run(StopRequest())
    assert_same_state(uninterrupted / "checkpoint.pt", tmp_path / "checkpoint.pt")


def test_images_on_a_disk_are_trained_on_as_those_in_memory(tmp_path: Path) -> None:
    """A tenth of the set fits in memory; the run is stopped between two batches that were read ahead."""
    np.save(tmp_path / "digits.npy", open_data(DataConfig()).train.images[:300])
    data = f"data.path={tmp_path / 'digits.npy'}"
    assert tiny_loop(tiny_recipe(data), tmp_path / "memory").run(StopRequest())
    mapped = tiny_recipe(data, f"data.memory_gib={300 * 64 / 10 / 2**30}")
    stop, on_step = stop_at(272)
    assert not tiny_loop(mapped, tmp_path / "disk").run(stop, on_step)
    assert tiny_loop(mapped, tmp_path / "disk").run(StopRequest())
    assert_same_state(tmp_path / "memory" / "checkpoint.pt", tmp_path / "disk" / "checkpoint.pt")
    assert len(list((tmp_path / ".images").glob("*/train.npy"))) == 1


def test_resume_after_a_kill_is_exact(uninterrupted: Path, tmp_path: Path) -> None:
    """SIGKILL somewhere in the middle, past a checkpoint: the steps after it are taken again."""
    code = (
        "import sys; from pathlib import Path; from trainer.signals import StopRequest\n"
        "from tests.unit.trainer.runs import tiny_loop, tiny_recipe\n"
        "import time\n"
        "recipe = tiny_recipe('training.checkpoint_seconds=0')\n"
        "tiny_loop(recipe, Path(sys.argv[1])).run(StopRequest(), lambda position: time.sleep(0.05))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=CHECKOUT, stderr=subprocess.DEVNULL)
    metrics = tmp_path / "metrics.jsonl"
    deadline = time.monotonic() + 60
    while not (metrics.exists() and len(metrics.read_text().splitlines()) >= 4):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    resumed = tiny_loop(tiny_recipe(), tmp_path)
    assert 0 < resumed.position["images"] < 640
    assert resumed.run(StopRequest())
    assert_same_state(uninterrupted / "checkpoint.pt", tmp_path / "checkpoint.pt")
    images = [json.loads(line)["images"] for line in metrics.read_text().splitlines()]
    assert images == list(range(64, 641, 64))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_after_the_step_and_save(tmp_path: Path, number: signal.Signals) -> None:
    with stop_on_signals() as stop:
        loop = tiny_loop(tiny_recipe(), tmp_path)
        assert not loop.run(stop, lambda _: os.kill(os.getpid(), number))
    assert stop.exit_code == 128 + number
    assert read_checkpoint(tmp_path / "checkpoint.pt")["position"]["images"] == 16


def test_a_second_interrupt_stops_at_once_and_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with stop_on_signals(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_seed_decides(uninterrupted: Path, tmp_path: Path) -> None:
    tiny_loop(tiny_recipe("seed=1"), tmp_path).run(StopRequest())
    states = [read_checkpoint(path / "checkpoint.pt")["system"]["generator"] for path in (uninterrupted, tmp_path)]
    assert not torch.equal(states[0]["linear.weight"], states[1]["linear.weight"])


def test_time_is_a_budget_of_its_own(tmp_path: Path) -> None:
    loop = tiny_loop(tiny_recipe("budget={max_minutes: 0.02}"), tmp_path)
    assert loop.run(StopRequest())
    assert 1.2 <= loop.position["seconds"] < 5
    factor = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])["learning_rate_factor"]
    assert factor == pytest.approx(0.05, abs=0.02)


def test_other_settings_do_not_go_on_in_the_same_folder(uninterrupted: Path) -> None:
    with pytest.raises(RunError, match=r"begun with generator.width=8, now generator.width=16; repeat the first"):
        RunFolder(uninterrupted).adopt(tiny_recipe("generator.width=16"))
    RunFolder(uninterrupted).adopt(tiny_recipe("export.parity_images=64"))
    RunFolder(uninterrupted).adopt(tiny_recipe())


def test_other_images_do_not_go_on_in_the_same_folder(tmp_path: Path) -> None:
    stop, on_step = stop_at(16)
    tiny_loop(tiny_recipe(), tmp_path).run(stop, on_step)
    (tmp_path / "config.yaml").unlink()
    with pytest.raises(RunError, match="begun on other images than sklearn-digits holds now"):
        tiny_loop(tiny_recipe("data.split_seed=1"), tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 cut short"])
def test_damaged_checkpoints_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(RunError, match="not a checkpoint of this trainer"):
        read_checkpoint(tmp_path / "checkpoint.pt")


class _Planted:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self._folder),))


def test_checkpoints_run_no_code(tmp_path: Path) -> None:
    torch.save({"position": _Planted(tmp_path / "planted")}, tmp_path / "checkpoint.pt")
    with pytest.raises(RunError, match="not a checkpoint of this trainer"):
        read_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "planted").exists()


def test_a_folder_holds_one_run_at_a_time(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path).locked(),
        pytest.raises(RunError, match="another process is training in this folder"),
        RunFolder(tmp_path).locked(),
    ):
        pass
    with RunFolder(tmp_path).locked():
        pass


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("x")
    with pytest.raises(RunError, match="a file is in the way"), RunFolder(tmp_path / "run").locked():
        pass
