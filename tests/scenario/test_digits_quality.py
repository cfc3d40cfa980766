"""2,000 conditional samples of the default recipe, fetched over HTTP and judged by what never saw the trainer.

The judge is a support vector classifier on pixels (98.9 % on held-out digits), trained on the real training split
alone. Accuracy by itself rewards collapse, so variety and distance to the training images are judged beside it.
"""

import io
from dataclasses import dataclass

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist, pdist
from sklearn.svm import SVC

from tests.kit.server import ServerProcess
from trainer.data import DataConfig, open_data

PER_CLASS = 200
CLASSES = 10


@dataclass(frozen=True)
class Judged:
    """Real splits and samples as float rows ``[n, 64]`` in 0 … 16, with their labels."""

    train: NDArray[np.float64]
    train_labels: NDArray[np.int64]
    held_out: NDArray[np.float64]
    held_out_labels: NDArray[np.int64]
    samples: NDArray[np.float64]
    sample_labels: NDArray[np.int64]


def rows(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    return images.reshape(len(images), -1) / 255 * 16


def classifier(images: NDArray[np.float64], labels: NDArray[np.int64]) -> SVC:
    return SVC(gamma=0.001, C=10).fit(images, labels)


@pytest.fixture(scope="module", params=["fp32", "int8"])
def judged(request: pytest.FixtureRequest, digits_server: ServerProcess) -> Judged:
    labels = np.repeat(np.arange(CLASSES), PER_CLASS)
    body = {"n": len(labels), "seed": 20_000, "labels": labels.tolist(), "precision": request.param, "format": "npy"}
    answer = httpx.post(f"{digits_server.http}/v1/samples", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    real = open_data(DataConfig())
    return Judged(
        rows(real.train.images),
        real.train.labels,
        rows(real.held_out.images),
        real.held_out.labels,
        rows(np.load(io.BytesIO(answer.content))),
        labels,
    )


def test_the_judge_knows_real_digits(judged: Judged) -> None:
    judge = classifier(judged.train, judged.train_labels)
    assert judge.score(judged.held_out, judged.held_out_labels) > 0.97


def test_samples_are_of_the_class_asked_for(judged: Judged) -> None:
    judge = classifier(judged.train, judged.train_labels)
    assert judge.score(judged.samples, judged.sample_labels) >= 0.97


def test_every_class_is_nearly_as_varied_as_the_real_one(judged: Judged) -> None:
    for label in range(CLASSES):
        real = pdist(judged.train[judged.train_labels == label]).mean()
        generated = pdist(judged.samples[judged.sample_labels == label]).mean()
        assert generated / real >= 0.80, f"class {label}: {generated / real:.3f}"


def test_samples_are_no_copies_and_no_strangers(judged: Judged) -> None:
    held_out = np.median(cdist(judged.held_out, judged.train).min(axis=1))
    generated = np.median(cdist(judged.samples, judged.train).min(axis=1))
    assert 0.9 <= generated / held_out <= 1.25


def test_a_classifier_trained_on_samples_alone_reads_real_digits(judged: Judged) -> None:
    student = classifier(judged.samples, judged.sample_labels)
    assert student.score(judged.held_out, judged.held_out_labels) >= 0.94
