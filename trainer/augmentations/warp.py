"""Random affine maps and smooth distortions: the classic augmentation of handwriting."""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from trainer.augmentations.base import AugmentationConfig


class WarpConfig(AugmentationConfig):
    """Each image is turned, slanted, scaled, moved and distorted a little; what is uncovered becomes black (−1).

    An affine map and elastic distortions after Simard et al. 2003 ("Best practices for convolutional neural
    networks", section 2), in one bilinear resampling. All amounts are drawn uniformly for every image.
    """

    kind: Literal["warp"] = "warp"
    """Which augmentation."""

    rotation: float = Field(default=15.0, ge=0, le=180)
    """Largest turn either way, degrees."""

    scale: float = Field(default=0.15, ge=0, lt=1)
    """Largest change of either side, as a share: width and height vary each on its own."""

    shear: float = Field(default=15.0, ge=0, le=60)
    """Largest slant either way, degrees."""

    shift: float = Field(default=0.08, ge=0, le=0.5)
    """Largest shift either way, as a share of the side."""

    elastic: float = Field(default=0.05, ge=0, le=0.5)
    """Standard deviation of the displacement at each point of a coarse grid, as a share of the side."""

    grid: int = Field(default=5, ge=2, le=64)
    """Points of that grid along each side; more of them make shorter waves."""

    def apply(self, images: Tensor) -> Tensor:
        """Change each image on its own; gradients pass to the pixels."""
        n, _, height, width = images.shape
        field = F.affine_grid(self._matrices(n, images.device), [n, 1, height, width], align_corners=False)
        if self.elastic:
            coarse = torch.randn(n, 2, self.grid, self.grid, device=images.device) * (2 * self.elastic)
            fine = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
            field = field + fine.permute(0, 2, 3, 1)
        # grid_sample fills with zeros, so that black is moved there and back.
        return F.grid_sample(images + 1, field.to(images.dtype), align_corners=False) - 1

    def _matrices(self, n: int, device: torch.device) -> Tensor:
        """Maps of places in the result to places in the image, −1 … 1 along each side, float ``[n, 2, 3]``."""

        def either_way(limit: float) -> Tensor:
            return (2 * torch.rand(n, device=device) - 1) * limit

        angle, slant = either_way(math.radians(self.rotation)), either_way(math.radians(self.shear)).tan()
        wide, high = 1 / (1 + either_way(self.scale)), 1 / (1 + either_way(self.scale))
        cosine, sine = angle.cos(), angle.sin()
        across = torch.stack([cosine * wide, (slant * cosine - sine) * wide, either_way(2 * self.shift)], dim=1)
        down = torch.stack([sine * high, (slant * sine + cosine) * high, either_way(2 * self.shift)], dim=1)
        return torch.stack([across, down], dim=1)
