"""The first recipe at full length, judged by what the package's own evaluation has no part in."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime.generator import Generator
from runtime.latents import row_seeds
from runtime.store import DirectoryStore
from trainer.data import DataConfig, open_data

pytestmark = pytest.mark.slow
PER_CLASS = 200


def points(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Images on the digits' own scale of 0 … 16."""
    return images.reshape(len(images), -1).astype(np.float64) * (16 / 255)


def distances(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """All distances, ``[len(left), len(right)]``."""
    return np.stack([np.linalg.norm(row - right, axis=1) for row in left])


def spread(images: NDArray[np.float64]) -> float:
    """Mean distance over all pairs."""
    return float(distances(images, images).sum() / (len(images) * (len(images) - 1)))


@pytest.mark.timeout(600)
def test_two_minutes_of_training_make_digits(tmp_path: Path) -> None:
    from sklearn.svm import SVC

    latentd = str(Path(sys.executable).parent / "latentd")
    folders = ["--run", str(tmp_path / "run"), "--store", str(tmp_path / "models")]
    subprocess.run([latentd, "train", "digits-cgan", *folders], check=True)
    package = DirectoryStore(tmp_path / "models").open("digits-cgan", 1)
    assert package.manifest.provenance.training_seconds <= 121

    data = open_data(DataConfig())
    train, held_out = points(data.train.images), points(data.held_out.images)
    judge = SVC(gamma=0.001).fit(train, data.train.labels)
    assert judge.score(held_out, data.held_out.labels) > 0.975, "the judge itself is not to be trusted"
    labels = np.arange(10, dtype=np.int64).repeat(PER_CLASS)
    usual = np.median(distances(held_out, train).min(axis=1))
    for precision in package.manifest.precisions:
        samples = points(Generator(package, precision).sample(row_seeds(0, len(labels)), labels))
        assert judge.score(samples, labels) >= 0.97, precision
        for label in range(10):
            assert spread(samples[labels == label]) >= 0.80 * spread(train[data.train.labels == label]), precision
        assert 0.9 <= np.median(distances(samples, train).min(axis=1)) / usual <= 1.25, precision
        student = SVC(gamma=0.001).fit(samples, labels)
        assert student.score(held_out, data.held_out.labels) >= 0.94, precision
