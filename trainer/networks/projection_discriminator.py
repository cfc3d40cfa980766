"""A convolutional discriminator that compares features with the class by projection."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import DiscriminatorConfig, FeatureDiscriminator, doublings


class ProjectionDiscriminatorConfig(DiscriminatorConfig):
    """Strided convolutions without normalization, then a linear output plus a label projection."""

    kind: Literal["projection"] = "projection"
    """Which discriminator."""

    width: int = Field(default=128, ge=4, le=4096)
    """Channels of the smallest feature maps; halved at each doubling of the size towards the image."""

    min_width: int = Field(default=32, ge=4, le=4096)
    """Channels below which the halving stops."""

    features: int = Field(default=128, ge=1, le=4096)
    """Numbers per image before the output."""

    slope: float = Field(default=0.2, ge=0, lt=1)
    """Slope of the leaky ReLU below zero."""

    def build(self, spec: ImageSpec) -> "ProjectionDiscriminator":
        """A freshly initialized discriminator of images of that size."""
        return ProjectionDiscriminator(self, spec)


class ProjectionDiscriminator(FeatureDiscriminator):
    """Logit = linear(φ(image)) + ⟨embedding(label), φ(image)⟩ (Miyato and Koyama 2018, eq. 3)."""

    def __init__(self, config: ProjectionDiscriminatorConfig, spec: ImageSpec) -> None:
        super().__init__()
        steps = doublings(spec) + 1
        channels, height, width = spec.channels, spec.height, spec.width
        self.convs = nn.ModuleList()
        for step in reversed(range(steps)):
            after = max(config.min_width, config.width >> step)
            self.convs.append(nn.Conv2d(channels, after, 4, stride=2, padding=1))
            channels, height, width = after, height // 2, width // 2
        self.slope = config.slope
        self.linear = nn.Linear(channels * height * width, config.features)
        self.output = nn.Linear(config.features, 1)
        self.project = nn.Embedding(spec.classes, config.features)
        nn.init.normal_(self.project.weight, std=0.05)  # PyTorch's std of 1 would drown the linear output

    def features(self, images: Tensor) -> Tensor:
        """Images in −1 … 1, float ``[n, C, H, W]``, to the last feature maps, float ``[n, k]``."""
        hidden = images
        for conv in self.convs:
            hidden = F.leaky_relu(conv(hidden), self.slope)
        return hidden.flatten(1)

    def judge(self, features: Tensor, labels: Tensor) -> Tensor:
        """``[n, k]`` and int64 ``[n]`` to logits, float ``[n]``."""
        hidden = F.leaky_relu(self.linear(features), self.slope)
        logits: Tensor = self.output(hidden).squeeze(1)
        agreement: Tensor = (self.project(labels) * hidden).float().sum(1)
        return logits.float() + agreement
