"""Squares left out (Zhao et al. 2020, section 4, "Cutout")."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from trainer.augmentations.base import AugmentationConfig


def cut_out(images: Tensor, top: Tensor, left: Tensor, *, height: int, width: int) -> Tensor:
    """Make a rectangle of each image mid-grey (0).

    Args:
        images: float ``[n, C, H, W]`` in −1 … 1.
        top: int64 ``[n]``, first row of the rectangle; may lie outside.
        left: int64 ``[n]``, first column; likewise.
        height: rows of the rectangle.
        width: columns of the rectangle.
    """
    rows = torch.arange(images.shape[2], device=images.device) - top[:, None]
    columns = torch.arange(images.shape[3], device=images.device) - left[:, None]
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    return images.masked_fill(inside[:, None], 0.0)


class CutoutConfig(AugmentationConfig):
    """A square of each image is hidden: the discriminator cannot rely on any one place."""

    kind: Literal["cutout"] = "cutout"
    """Which augmentation."""

    ratio: float = Field(default=0.5, gt=0, le=1)
    """Side of the square as a share of the image's, at least one pixel."""

    def apply(self, images: Tensor) -> Tensor:
        """Hide a square of each image, its centre uniform over all pixels."""
        n, _, height, width = images.shape
        tall, wide = max(1, round(self.ratio * height)), max(1, round(self.ratio * width))
        top = torch.randint(0, height + 1 - tall % 2, (n,), device=images.device) - tall // 2
        left = torch.randint(0, width + 1 - wide % 2, (n,), device=images.device) - wide // 2
        return cut_out(images, top, left, height=tall, width=wide)
