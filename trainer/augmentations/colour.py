"""Random brightness, saturation and contrast (Zhao et al. 2020, section 4, "Color")."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from trainer.augmentations.base import AugmentationConfig


def brighten(images: Tensor, amounts: Tensor) -> Tensor:
    """Add to all pixels of each image; `amounts` float ``[n]``."""
    return images + amounts[:, None, None, None]


def saturate(images: Tensor, factors: Tensor) -> Tensor:
    """Stretch each pixel's channels about their mean; 0 makes grey; `factors` float ``[n]``."""
    return torch.lerp(images.mean(1, keepdim=True), images, factors[:, None, None, None])


def contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Stretch all numbers of each image about their mean; 0 makes it flat; `factors` float ``[n]``."""
    return torch.lerp(images.mean((1, 2, 3), keepdim=True), images, factors[:, None, None, None])


class ColourConfig(AugmentationConfig):
    """Other light, other colours: for photographs; grey levels that mean something are better left alone."""

    kind: Literal["colour"] = "colour"
    """Which augmentation."""

    brightness: float = Field(default=0.5, ge=0, le=1)
    """Largest amount added or taken, of the range −1 … 1."""

    saturation: float = Field(default=1.0, ge=0, le=1)
    """Factors lie within 1 ± this; grey images do not change."""

    contrast: float = Field(default=0.5, ge=0, le=1)
    """Factors lie within 1 ± this."""

    def apply(self, images: Tensor) -> Tensor:
        """Change each image on its own, in the paper's order."""
        brightness, saturation, stretch = 2 * torch.rand(3, len(images), device=images.device) - 1
        images = brighten(images, self.brightness * brightness)
        images = saturate(images, 1 + self.saturation * saturation)
        return contrast(images, 1 + self.contrast * stretch)
