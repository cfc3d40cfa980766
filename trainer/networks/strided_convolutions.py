"""The part that encoders and discriminators share: images to small feature maps."""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.config import Config
from trainer.data.images import ImageSpec
from trainer.networks.base import doublings


class StridedConvolutionsConfig(Config):
    """Size of the stack."""

    width: int = Field(default=64, ge=4, le=4096)
    """Channels of the smallest feature maps; halved at each doubling of the size towards the image."""

    min_width: int = Field(default=16, ge=4, le=4096)
    """Channels below which the halving stops."""

    slope: float = Field(default=0.2, ge=0, lt=1)
    """Slope of the leaky ReLU below zero."""


class StridedConvolutions(nn.Module):
    """4×4 convolutions of stride 2 with leaky ReLU, until a side is at most 3; no normalization.

    Attributes:
        outputs: numbers per image.
    """

    def __init__(self, config: StridedConvolutionsConfig, spec: ImageSpec) -> None:
        super().__init__()
        channels, height, width = spec.channels, spec.height, spec.width
        self.slope = config.slope
        self.convs = nn.ModuleList()
        for step in reversed(range(doublings(spec) + 1)):
            after = max(config.min_width, config.width >> step)
            self.convs.append(nn.Conv2d(channels, after, 4, stride=2, padding=1))
            channels, height, width = after, height // 2, width // 2
        self.outputs = channels * height * width

    def forward(self, images: Tensor) -> Tensor:
        """float ``[n, C, H, W]`` to ``[n, outputs]``, or ``[n, T, C, H, W]`` to ``[n, T, outputs]``."""
        hidden = images.flatten(0, -4)
        for conv in self.convs:
            hidden = F.leaky_relu(conv(hidden), self.slope)
        features = hidden.flatten(1)
        return torch.unflatten(features, 0, (-1, images.shape[1])) if images.ndim == 5 else features
