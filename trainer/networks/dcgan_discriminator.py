"""A discriminator of strided convolutions (Radford et al. 2016, "Unsupervised representation learning with deep
convolutional generative adversarial networks", section 3), the class stacked onto the image."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import Discriminator, DiscriminatorConfig
from trainer.networks.label_planes import LabelPlanes


class DcganDiscriminatorConfig(DiscriminatorConfig):
    """The mirror of the `dcgan` generator, without the paper's batch norm: a batch's statistics would tell the
    discriminator how many images of it are real, and forbid penalties on single images. Without it the paper's
    weights from N(0, 0.02) would shrink a signal at each layer; they start as PyTorch has them."""

    kind: Literal["dcgan"] = "dcgan"
    """Which discriminator."""

    width: int = Field(default=64, ge=4, le=4096)
    """Channels of the largest feature maps; doubled at each layer."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of hidden numbers dropped while training."""

    slope: float = Field(default=0.2, ge=0, lt=1)
    """Slope of the leaky ReLU below zero."""

    def build(self, spec: ImageSpec) -> "DcganDiscriminator":
        """A freshly initialized discriminator of images of that size."""
        return DcganDiscriminator(self, spec)


class DcganDiscriminator(Discriminator):
    """4×4 convolutions of stride 2 with leaky ReLU and dropout until a side is at most 8, then a linear output."""

    def __init__(self, config: DcganDiscriminatorConfig, spec: ImageSpec) -> None:
        super().__init__()
        self.planes = LabelPlanes(spec)
        self.slope, self.dropout = config.slope, config.dropout
        channels, height, width = self.planes.channels, spec.height, spec.width
        self.convs = nn.ModuleList()
        after = config.width
        while len(self.convs) < 2 or max(height, width) > 8:
            self.convs.append(nn.Conv2d(channels, after, 4, stride=2, padding=1))
            channels, height, width, after = after, height // 2, width // 2, 2 * after
        self.output = nn.Linear(channels * height * width, 1)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images in −1 … 1, float ``[n, C, H, W]``, and int64 ``[n]`` to logits, float ``[n]``."""
        hidden = self.planes(images, labels)
        for conv in self.convs:
            hidden = F.dropout(F.leaky_relu(conv(hidden), self.slope), self.dropout, self.training)
        logits: Tensor = self.output(hidden.flatten(1)).squeeze(1)
        return logits.float()
