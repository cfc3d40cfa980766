"""The recipes of sequences from end to end, small: train, package, serve, look."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.encoder import Encoder
from runtime.generator import Generator
from runtime.store import DirectoryStore
from trainer.training import TrainRequest, train

SMALL = (
    "budget.images=32",
    "training.batch_size=8",
    "training.grids=1",
    "data.moving.sequences=40",
    "data.moving.frames=4",
    "ema.statistics_images=256",
    "export.parity_images=8",
    "evaluation.samples=20",
    "device.threads=1",
)


@pytest.mark.parametrize("name", ["lstm-gan", "rvae-gan"])
def test_a_recipe_of_sequences_ends_in_a_package_that_moves(name: str, tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    outcome = train(TrainRequest(name, tmp_path / "run", store.root, SMALL, None, "again"), lambda _: None)
    assert outcome.package is not None
    package = store.open(name, 1)
    manifest = package.manifest
    assert manifest.output.shape == (4, 24, 24, 1)
    assert set(manifest.precisions) == {"fp32"}
    assert {"frame_frechet_distance", "motion_amount", "motion_smoothness"} <= set(manifest.evaluation)
    sequences = Generator(package, "fp32").sample(np.arange(3, dtype=np.uint64))
    assert sequences.shape == (3, 4, 24, 24, 1)
    for strips in (package.path / "samples.png", next((tmp_path / "run" / "samples").glob("*.png"))):
        with Image.open(io.BytesIO(strips.read_bytes())) as image:
            assert image.width > 4 * 48
    assert (manifest.encoder is not None) == (name == "rvae-gan")
    if manifest.encoder is not None:
        assert manifest.classes == []
        assert Encoder(package).run(sequences).shape == (3, manifest.latent.dim)
        assert "reconstruction_error" in manifest.evaluation
