"""Random shifts (Zhao et al. 2020, section 4, "Translation")."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from trainer.augmentations.base import AugmentationConfig


def translate(images: Tensor, down: Tensor, right: Tensor, *, reach: int) -> Tensor:
    """Shift each image by whole pixels; what is uncovered becomes black (−1).

    Args:
        images: float ``[n, C, H, W]`` in −1 … 1.
        down: int64 ``[n]``, pixels downwards; negative: upwards.
        right: int64 ``[n]``, pixels to the right; negative: to the left.
        reach: bound of both, known without reading them back from the device.
    """
    n, _, height, width = images.shape
    padded = F.pad(images, (reach, reach, reach, reach), value=-1.0)
    rows = reach - down[:, None] + torch.arange(height, device=images.device)
    columns = reach - right[:, None] + torch.arange(width, device=images.device)
    each = torch.arange(n, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


class TranslationConfig(AugmentationConfig):
    """Shifts by up to a share of the side, both ways: the generator cannot please by copying positions."""

    kind: Literal["translation"] = "translation"
    """Which augmentation."""

    ratio: float = Field(default=0.125, gt=0, le=0.5)
    """Largest shift as a share of the side, at least one pixel."""

    def apply(self, images: Tensor) -> Tensor:
        """Shift each image on its own, uniformly among the whole pixels allowed."""
        n, _, height, width = images.shape
        reach_down, reach_right = max(1, round(self.ratio * height)), max(1, round(self.ratio * width))
        down = torch.randint(-reach_down, reach_down + 1, (n,), device=images.device)
        right = torch.randint(-reach_right, reach_right + 1, (n,), device=images.device)
        return translate(images, down, right, reach=max(reach_down, reach_right))
