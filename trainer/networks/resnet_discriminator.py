"""A residual discriminator with projection (Miyato et al. 2018, "Spectral normalization for generative adversarial
networks", table 4; Miyato and Koyama 2018, eq. 3). The spectral norm itself is a regularizer."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import DiscriminatorConfig, FeatureDiscriminator
from trainer.networks.resampled_convolutions import DownsampledConv2d

_SMALLEST = 8


class ResnetDiscriminatorConfig(DiscriminatorConfig):
    """Residual blocks that halve the size to 8×8 or less, two that keep it, then a sum over all places."""

    kind: Literal["resnet"] = "resnet"
    """Which discriminator."""

    width: int = Field(default=128, ge=4, le=4096)
    """Channels of all feature maps."""

    def build(self, spec: ImageSpec) -> "ResnetDiscriminator":
        """A freshly initialized discriminator of images of that size."""
        return ResnetDiscriminator(self, spec)


class ResnetDiscriminator(FeatureDiscriminator):
    """Logit = linear(φ(image)) + ⟨embedding(label), φ(image)⟩, φ summed over the last feature maps."""

    def __init__(self, config: ResnetDiscriminatorConfig, spec: ImageSpec) -> None:
        super().__init__()
        size, channels = max(spec.height, spec.width), spec.channels
        self.blocks = nn.ModuleList()
        while not self.blocks or size > _SMALLEST:
            self.blocks.append(DownsamplingBlock(channels, config.width, first=not self.blocks, halves=True))
            size, channels = size // 2, config.width
        for _ in range(2):
            self.blocks.append(DownsamplingBlock(config.width, config.width, first=False, halves=False))
        self.output = nn.Linear(config.width, 1)
        self.project = nn.Embedding(spec.classes, config.width) if spec.classes > 1 else None
        if self.project is not None:
            nn.init.normal_(self.project.weight, std=0.05)  # PyTorch's std of 1 would drown the linear output

    def features(self, images: Tensor) -> Tensor:
        """Images in −1 … 1, float ``[n, C, H, W]``, to φ, float ``[n, width]``."""
        hidden = images
        for block in self.blocks:
            hidden = block(hidden)
        return F.relu(hidden).sum(dim=(2, 3))

    def judge(self, features: Tensor, labels: Tensor) -> Tensor:
        """``[n, width]`` and int64 ``[n]`` to logits, float ``[n]``."""
        logits: Tensor = self.output(features).squeeze(1).float()
        if self.project is None:
            return logits
        agreement: Tensor = (self.project(labels) * features).float().sum(1)
        return logits + agreement


class DownsamplingBlock(nn.Module):
    """x plus ReLU, convolution, ReLU, convolution of x; both averaged to half the size where it halves.

    The first block's input is an image: it starts with the convolution, since half an image is negative.
    """

    def __init__(self, before: int, after: int, *, first: bool, halves: bool) -> None:
        super().__init__()
        self._first = first
        self.conv1 = nn.Conv2d(before, after, 3, padding=1)
        self.conv2 = DownsampledConv2d(after, after) if halves else nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1) if halves else None

    def forward(self, images: Tensor) -> Tensor:
        """``[n, before, H, W]`` to ``[n, after, H, W]``, or half of H and W."""
        hidden: Tensor = self.conv2(F.relu(self.conv1(images if self._first else F.relu(images))))
        if self.shortcut is None:
            return hidden + images
        # Averages and 1×1 convolutions commute, and at the small size the latter costs a quarter.
        shortcut: Tensor = self.shortcut(F.avg_pool2d(images, 2))
        return hidden + shortcut
