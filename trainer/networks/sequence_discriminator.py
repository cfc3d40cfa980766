"""A discriminator of sequences, which judges the motion, the single frames, or both."""

from dataclasses import replace
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
    """The image and the video discriminator of MoCoGAN (Tulyakov et al. 2018, section 3.2).

    The judge of sequences sees each frame beside its difference from the one before: what stands still is black there.
    """

    def __init__(self, config: SequenceDiscriminatorConfig, spec: ImageSpec) -> None:
        super().__init__()
        self._frames = spec.frames
        self.judges = config.judges
        self._slope = config.convolutions.slope
        self.moving = StridedConvolutions(config.convolutions, replace(spec, channels=2 * spec.channels))
        self.still = StridedConvolutions(config.convolutions, spec)
        self.of_moving = nn.Linear(self.moving.outputs, config.features)
        self.of_still = nn.Linear(self.still.outputs, config.features)
        self.in_time = nn.ModuleList(nn.Conv1d(config.features, config.features, 3, padding=1) for _ in range(2))
        self.sequence = nn.Linear(config.features, 1)
        self.frame = nn.Linear(config.features, 1)
        self.project = nn.Embedding(spec.classes, config.features)
        self.project_frame = nn.Embedding(spec.classes, config.features)
        for embedding in (self.project, self.project_frame):
            nn.init.normal_(embedding.weight, std=0.05)  # PyTorch's std of 1 would drown the linear output

    def features(self, images: Tensor) -> Tensor:
        """Images in −1 … 1, float ``[n, T, C, H, W]``, to what the convolutions make of each frame, ``[n, k]``."""
        before = torch.cat([images[:, :1], images[:, :-1]], dim=1)
        seen: dict[Judge, Tensor] = {}
        if "sequence" in self.judges:
            seen["sequence"] = self.moving(torch.cat([images, images - before], dim=2))
        if "frames" in self.judges:
            seen["frames"] = self.still(images)
        return torch.cat([seen[judge] for judge in self.judges], dim=2).flatten(1)

    def judge(self, features: Tensor, labels: Tensor) -> Tensor:
        """See `FeatureDiscriminator.judge`; logits are float ``[n, judges]``."""
        each = torch.unflatten(features, 1, (self._frames, -1))
        widths = {"sequence": self.moving.outputs, "frames": self.still.outputs}
        parts = torch.split(each, [widths[judge] for judge in self.judges], dim=2)
        judged = {"sequence": self._judge_sequence, "frames": self._judge_frames}
        return torch.stack([judged[judge](part, labels) for judge, part in zip(self.judges, parts, strict=True)], dim=1)

    def _judge_sequence(self, features: Tensor, labels: Tensor) -> Tensor:
        moments = F.leaky_relu(self.of_moving(features), self._slope).transpose(1, 2)
        for conv in self.in_time:
            moments = moments + F.leaky_relu(conv(moments), self._slope)
        whole = moments.mean(2)
        logits: Tensor = self.sequence(whole).squeeze(1).float()
        agreement: Tensor = (self.project(labels) * whole).float().sum(1)
        return logits + agreement

    def _judge_frames(self, features: Tensor, labels: Tensor) -> Tensor:
        each = F.leaky_relu(self.of_still(features), self._slope)
        logits: Tensor = self.frame(each).squeeze(2).float()
        agreement: Tensor = (self.project_frame(labels)[:, None] * each).float().sum(2)
        return (logits + agreement).mean(1)
