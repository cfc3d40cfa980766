"""Brightness, saturation and contrast by hand."""

import pytest
import torch

from trainer.augmentations import AUGMENTATIONS
from trainer.augmentations.colour import ColourConfig, brighten, contrast, saturate

IMAGES = torch.tensor([[[[0.0, 0.3]], [[0.3, 0.3]], [[0.6, 0.3]]]])  # one image, two pixels: a coloured and a grey one


def test_brightness_adds() -> None:
    assert torch.allclose(brighten(IMAGES, torch.tensor([0.1])), IMAGES + 0.1, rtol=0, atol=1e-6)


def test_saturation_stretches_about_each_pixel_s_grey() -> None:
    changed = saturate(IMAGES, torch.tensor([2.0]))
    assert changed[0, :, 0, 0].tolist() == pytest.approx([-0.3, 0.3, 0.9], abs=1e-6)
    assert changed[0, :, 0, 1].tolist() == pytest.approx([0.3, 0.3, 0.3], abs=1e-6)
    assert saturate(IMAGES, torch.tensor([0.0])).flatten().tolist() == pytest.approx([0.3] * 6, abs=1e-6)


def test_contrast_stretches_about_the_image_s_mean() -> None:
    changed = contrast(IMAGES, torch.tensor([0.5]))
    assert changed.flatten().tolist() == pytest.approx([0.15, 0.3, 0.3, 0.3, 0.45, 0.3], abs=1e-6)


def test_zero_ranges_change_nothing() -> None:
    config = ColourConfig(brightness=0, saturation=0, contrast=0)
    assert torch.allclose(config.apply(IMAGES), IMAGES, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", AUGMENTATIONS.kinds())
def test_every_augmentation_keeps_shapes_and_lets_gradients_pass(kind: str) -> None:
    images = torch.rand(4, 3, 9, 12, requires_grad=True)
    changed = AUGMENTATIONS.parse({"kind": kind}).apply(images)
    assert changed.shape == images.shape
    changed.sum().backward()
    assert images.grad is not None and torch.isfinite(images.grad).all()
    assert (images.grad != 0).any()
