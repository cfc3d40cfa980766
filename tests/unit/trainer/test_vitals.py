"""Vital signs against sets whose variety and classes are known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.data import DataConfig, LabelledImages, open_data
from trainer.networks.base import Generator
from trainer.vitals import VitalSigns, draw, effective_number, variety_ratio


class Replay(Generator):
    """Shows given images in turn, whatever the latents are."""

    def __init__(self, images: LabelledImages) -> None:
        super().__init__()
        self.latent_dim = 3
        self._nothing = torch.nn.Parameter(torch.zeros(1))
        self._shown = torch.from_numpy(images.images).permute(0, 3, 1, 2).float() / 127.5 - 1

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """The first images."""
        return self._shown[torch.arange(len(latents)) % len(self._shown)]


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    """The built-in digits, classes in turn."""
    data = open_data(DataConfig()).train
    rows = np.stack([np.flatnonzero(data.labels == label)[:100] for label in range(10)], axis=1).ravel()
    return data.subset(rows)


@pytest.mark.parametrize(
    ("counts", "expected"), [([5, 5, 5, 5], 4.0), ([7, 0, 0], 1.0), ([1, 1, 0, 0], 2.0), ([3, 1], 1.7548)]
)
def test_effective_number(counts: list[int], expected: float) -> None:
    assert effective_number(np.array(counts)) == pytest.approx(expected, abs=1e-4)


def test_real_images_look_healthy(digits: LabelledImages) -> None:
    signs = VitalSigns(digits, 250).measure(Replay(digits))
    assert signs["variety"] == pytest.approx(1.0, abs=0.3)
    assert signs["classes"] == pytest.approx(1.0, abs=0.05)


def test_a_single_image_has_neither_variety_nor_classes(digits: LabelledImages) -> None:
    signs = VitalSigns(digits, 250).measure(Replay(digits.subset(np.array([3]))))
    assert signs["variety"] == pytest.approx(0, abs=1e-3)
    assert signs["classes"] == pytest.approx(0.1, abs=0.02)


def test_one_clone_per_class_has_classes_but_no_variety(digits: LabelledImages) -> None:
    signs = VitalSigns(digits, 250).measure(Replay(digits.subset(np.arange(10))))
    assert signs["variety"] == pytest.approx(0, abs=1e-3)
    assert signs["classes"] > 0.8


def test_small_classes_are_not_judged_alone(digits: LabelledImages) -> None:
    few = digits.subset(np.concatenate([np.arange(10), np.arange(10)]))
    assert variety_ratio(few, digits) > 0.5


def test_unlabelled_images_have_no_classes(digits: LabelledImages) -> None:
    unlabelled = LabelledImages(digits.images, np.zeros(len(digits), np.int64), ())
    assert set(VitalSigns(unlabelled, 100).measure(Replay(digits))) == {"variety"}


def test_drawing_leaves_the_random_sequence_alone(digits: LabelledImages) -> None:
    before = torch.get_rng_state()
    assert len(draw(Replay(digits), 30, digits.class_names, 0)) == 30
    assert torch.equal(before, torch.get_rng_state())
