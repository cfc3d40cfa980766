"""A convolutional discriminator that is shown the class as one more channel of the image."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import Discriminator, DiscriminatorConfig, doublings
from trainer.networks.label_planes import LabelPlanes


class ConcatenationDiscriminatorConfig(DiscriminatorConfig):
    """The body of the `projection` discriminator with the class at its start instead of its end."""

    kind: Literal["concatenation"] = "concatenation"
    """Which discriminator."""

    width: int = Field(default=128, ge=4, le=4096)
    """Channels of the smallest feature maps; halved at each doubling of the size towards the image."""

    min_width: int = Field(default=32, ge=4, le=4096)
    """Channels below which the halving stops."""

    features: int = Field(default=128, ge=1, le=4096)
    """Numbers per image before the output."""

    slope: float = Field(default=0.2, ge=0, lt=1)
    """Slope of the leaky ReLU below zero."""

    def build(self, spec: ImageSpec) -> "ConcatenationDiscriminator":
        """A freshly initialized discriminator of images of that size."""
        return ConcatenationDiscriminator(self, spec)


class ConcatenationDiscriminator(Discriminator):
    """Image and class plane (see `LabelPlanes`) through strided convolutions to one logit."""

    def __init__(self, config: ConcatenationDiscriminatorConfig, spec: ImageSpec) -> None:
        super().__init__()
        self.planes = LabelPlanes(spec)
        channels, height, width = self.planes.channels, spec.height, spec.width
        self.convs = nn.ModuleList()
        for step in reversed(range(doublings(spec) + 1)):
            after = max(config.min_width, config.width >> step)
            self.convs.append(nn.Conv2d(channels, after, 4, stride=2, padding=1))
            channels, height, width = after, height // 2, width // 2
        self.slope = config.slope
        self.linear = nn.Linear(channels * height * width, config.features)
        self.output = nn.Linear(config.features, 1)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images in −1 … 1, float ``[n, C, H, W]``, and int64 ``[n]`` to logits, float ``[n]``."""
        hidden = self.planes(images, labels)
        for conv in self.convs:
            hidden = F.leaky_relu(conv(hidden), self.slope)
        logits: Tensor = self.output(F.leaky_relu(self.linear(hidden.flatten(1)), self.slope)).squeeze(1)
        return logits.float()
