"""A run that is killed and resumed ends in the bits of one that was never disturbed: checkpoint and package alike."""

import time
from pathlib import Path

import pytest

from runtime.store import DirectoryStore
from tests.kit.server import start_latentd
from tests.unit.trainer.runs import assert_same_state, tiny_loop
from trainer.checkpoints import read_checkpoint
from trainer.config import apply_overrides
from trainer.recipe import load_recipe
from trainer.signals import StopRequest
from trainer.training import TrainRequest, train

BATCH = 8
TINY = (
    f"training={{batch_size: {BATCH}, log_every: {BATCH}, checkpoint_seconds: 0, grids: 0}}",
    "learning_rate={constant: 1.0, last: 1.0}",
    "alarm.enabled=false",
    "generator.width=8",
    "generator.min_width=8",
    "device.threads=1",
    "ema.statistics_images=256",
    "export={precisions: [fp32], parity_images: 8}",
    "evaluation={samples: 20, real_images: 100, nearest_images: 100}",
)
"""A checkpoint after every step, and nothing that depends on the budget, which is not known before the kill."""

IMAGES = ("generator.latent_dim=6", "discriminator={kind: projection, width: 8, min_width: 8, features: 8}")
SEQUENCES = (
    *("data.moving.sequences=40", "data.moving.frames=3", "generator.state=16"),
    "discriminator={kind: sequence, convolutions: {width: 8, min_width: 8}, features: 8, judges: [sequence, frames]}",
)
SETTINGS = {
    "cgan": (*TINY, *IMAGES),
    "vae-gan": (*TINY, *IMAGES, "system.warm_up_steps=40"),
    "rvae-gan": (*TINY, *SEQUENCES, "system.warm_up_steps=40"),
}


def train_until_killed(recipe: str, root: Path, *, steps: int) -> int:
    """`latentd train`, ended by SIGKILL once it has taken so many steps more; the images its checkpoint holds."""
    checkpoint, log = root / "run" / "checkpoint.pt", root / "killed.log"
    done = read_checkpoint(checkpoint)["position"]["images"] if checkpoint.exists() else 0
    settings = [part for setting in (*SETTINGS[recipe], "budget={images: 100_000}") for part in ("--set", setting)]
    process = start_latentd("train", recipe, "--run", str(root / "run"), *settings, log=log)
    deadline = time.monotonic() + 120
    images = done
    while images < done + steps * BATCH:
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)
        images = read_checkpoint(checkpoint)["position"]["images"] if checkpoint.exists() else done
    process.kill()
    process.wait()
    return read_checkpoint(checkpoint)["position"]["images"]


@pytest.mark.parametrize("recipe", SETTINGS)
def test_killed_twice_is_as_never_killed(recipe: str, tmp_path: Path) -> None:
    killed_at = [train_until_killed(recipe, tmp_path, steps=7) for _ in range(2)]
    images = killed_at[-1]
    assert killed_at[0] < images
    undisturbed = tmp_path / "undisturbed"
    settings = (*SETTINGS[recipe], f"budget={{images: {images}}}")
    assert tiny_loop(apply_overrides(load_recipe(recipe), settings), undisturbed).run(StopRequest())
    assert_same_state(tmp_path / "run" / "checkpoint.pt", undisturbed / "checkpoint.pt")


def test_a_resumed_run_publishes_the_same_bytes(tmp_path: Path) -> None:
    images = train_until_killed("vae-gan", tmp_path, steps=7) + 7 * BATCH
    packages = []
    for run in (tmp_path / "run", tmp_path / "undisturbed"):
        settings = (*SETTINGS["vae-gan"], f"budget={{images: {images}}}")
        store = DirectoryStore(tmp_path / "models")
        outcome = train(TrainRequest("vae-gan", run, store.root, settings, run.name, "again"), lambda _: None)
        assert outcome.package is not None
        packages.append(outcome.package.path)
    for name in ("generator.onnx", "encoder.onnx", "samples.png", "expected.npz"):
        assert (packages[0] / name).read_bytes() == (packages[1] / name).read_bytes(), name
