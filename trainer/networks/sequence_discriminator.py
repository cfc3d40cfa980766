"""A discriminator of sequences, which judges the motion, the single frames, or both."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import DiscriminatorConfig, FeatureDiscriminator, check_moving
from trainer.networks.strided_convolutions import StridedConvolutions, StridedConvolutionsConfig

Judge = Literal["sequence", "frames"]


class SequenceDiscriminatorConfig(DiscriminatorConfig):
    """Strided convolutions over each frame, then convolutions over time."""

    kind: Literal["sequence"] = "sequence"
    """Which discriminator."""

    convolutions: StridedConvolutionsConfig = StridedConvolutionsConfig()
    """From a frame to small feature maps."""

    features: int = Field(default=64, ge=1, le=4096)
    """Numbers per frame and per moment of the convolutions over time."""

    judges: tuple[Judge, ...] = Field(default=("sequence", "frames"), min_length=1, max_length=2)
    """Logits per sequence: one of the whole, one that is the mean over its frames, each seen alone."""

    def build(self, spec: ImageSpec) -> "SequenceDiscriminator":
        """A freshly initialized discriminator of sequences of that size.

        Raises:
            ConfigError: the images are still.
        """
        check_moving("discriminator sequence", spec)
        return SequenceDiscriminator(self, spec)


class SequenceDiscriminator(FeatureDiscriminator):
    """The image and the video discriminator of MoCoGAN (Tulyakov et al. 2018, section 3.2) on shared features."""

    def __init__(self, config: SequenceDiscriminatorConfig, spec: ImageSpec) -> None:
        super().__init__()
        self._frames = spec.frames
        self.judges = config.judges
        self.body = StridedConvolutions(config.convolutions, spec)
        self.linear = nn.Linear(self.body.outputs, config.features)
        self.in_time = nn.ModuleList(nn.Conv1d(config.features, config.features, 3, padding=1) for _ in range(2))
        self.sequence = nn.Linear(config.features, 1)
        self.frame = nn.Linear(config.features, 1)
        self.project = nn.Embedding(spec.classes, config.features)
        nn.init.normal_(self.project.weight, std=0.05)

    def features(self, images: Tensor) -> Tensor:
        """Images in −1 … 1, float ``[n, T, C, H, W]``, to what the convolutions make of each frame, ``[n, k]``."""
        found: Tensor = self.body(images)
        return found.flatten(1)

    def judge(self, features: Tensor, labels: Tensor) -> Tensor:
        """See `FeatureDiscriminator.judge`; logits are float ``[n, judges]``."""
        each = F.leaky_relu(self.linear(torch.unflatten(features, 1, (self._frames, -1))), self.body.slope)
        moments = each.transpose(1, 2)
        for conv in self.in_time:
            moments = moments + F.leaky_relu(conv(moments), self.body.slope)
        whole = moments.mean(2)
        logits: dict[Judge, Tensor] = {
            "sequence": self.sequence(whole).squeeze(1).float() + (self.project(labels) * whole).float().sum(1),
            "frames": self.frame(each).float().mean((1, 2)),
        }
        return torch.stack([logits[judge] for judge in self.judges], dim=1)
