"""`make demo ONCE=1` on a fresh clone: everything installed, trained, served and sampled by one command."""

import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from runtime.store import DirectoryStore

CHECKOUT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_fresh_clone_ends_with_pictures_and_a_package_within_eight_minutes(tmp_path: Path) -> None:
    clone = tmp_path / "latentd"
    subprocess.run(["git", "clone", "--quiet", CHECKOUT, clone], check=True)
    start = time.monotonic()
    subprocess.run(["make", "demo", "ONCE=1"], cwd=clone, check=True)
    assert time.monotonic() - start < 8 * 60
    grid = np.asarray(Image.open(clone / "out" / "demo" / "grid.png"))
    assert np.array_equal(grid, np.asarray(Image.open(clone / "out" / "demo" / "grpc.png")))
    assert min(grid.shape[:2]) >= 10 * 8 * 8  # ten rows and columns of 8×8 pixels, each enlarged eightfold
    manifest = DirectoryStore(clone / "out" / "demo" / "models").open("digits-cgan", 1).manifest
    assert set(manifest.precisions) == {"fp32", "int8"}
    assert manifest.provenance.training_seconds <= 2 * 60
