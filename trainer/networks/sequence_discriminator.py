"""A discriminator of sequences, which judges the motion, the single frames, or both."""

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import DiscriminatorConfig, FeatureDiscriminator, check_moving
from trainer.networks.shifts import centred
from trainer.networks.strided_convolutions import StridedConvolutions, StridedConvolutionsConfig

Judge = Literal["sequence", "frames"]


class SequenceDiscriminatorConfig(DiscriminatorConfig):
    """Strided convolutions over each frame; for the whole, a dense layer over each, then convolutions over time."""

    kind: Literal["sequence"] = "sequence"
    """Which discriminator."""

    convolutions: StridedConvolutionsConfig = StridedConvolutionsConfig()
    """From a frame to small feature maps, for the judge of frames."""

    features: int = Field(default=64, ge=1, le=4096)
    """Numbers per frame and per moment of the convolutions over time."""

    judges: tuple[Judge, ...] = Field(default=("sequence", "frames"), min_length=1, max_length=2)
    """Logits per sequence: one of the whole, one that is the mean over its frames, each seen alone."""

    coarse: int = Field(default=4, ge=1, le=8)
    """Side of the blocks of pixels over which the judge of sequences averages first: motion is seen as well
    as in single pixels."""

    frames: int | None = Field(default=None, ge=1, le=256)
    """How many frames, evenly spread, the judge of frames looks at; null: all. MoCoGAN's looks at one."""

    window: int | None = Field(default=None, ge=4, le=256)
    """Side in pixels of what the judge of frames sees around the centre of brightness, so that it need not learn what
    it looks for at every place anew; null: all of the frame as it is."""

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
        self._frames, self._coarse = spec.frames, config.coarse
        self._looked_at = spread(spec.frames, config.frames or spec.frames)
        self.judges = config.judges
        self._slope = config.convolutions.slope
        height, width = spec.height // config.coarse, spec.width // config.coarse
        self.moving = nn.Linear(2 * spec.channels * height * width, config.features)
        self._window = config.window
        window = replace(spec, height=config.window, width=config.window) if config.window else spec
        self.still = StridedConvolutions(config.convolutions, window)
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
        seen: dict[Judge, Tensor] = {}
        if "sequence" in self.judges:
            coarse = averaged(images, self._coarse)
            before = torch.cat([coarse[:, :1], coarse[:, :-1]], dim=1)
            pixels = torch.cat([coarse, coarse - before], dim=2).flatten(2)
            seen["sequence"] = F.leaky_relu(self.moving(pixels), self._slope)
        if "frames" in self.judges:
            chosen = images[:, self._looked_at]
            seen["frames"] = self.still(centred(chosen, self._window) if self._window else chosen)
        return torch.cat([seen[judge].flatten(1) for judge in self.judges], dim=1)

    def judge(self, features: Tensor, labels: Tensor) -> Tensor:
        """See `FeatureDiscriminator.judge`; logits are float ``[n, judges]``."""
        frames = {"sequence": self._frames, "frames": len(self._looked_at)}
        widths = {"sequence": self.moving.out_features, "frames": self.still.outputs}
        judged = {"sequence": self._judge_sequence, "frames": self._judge_frames}
        parts = torch.split(features, [frames[judge] * widths[judge] for judge in self.judges], dim=1)
        logits = [
            judged[judge](torch.unflatten(part, 1, (frames[judge], -1)), labels)
            for judge, part in zip(self.judges, parts, strict=True)
        ]
        return torch.stack(logits, dim=1)

    def _judge_sequence(self, features: Tensor, labels: Tensor) -> Tensor:
        moments = features.transpose(1, 2)
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


def spread(frames: int, count: int) -> list[int]:
    """At most `count` of the indices 0 … `frames` − 1, evenly spread: the middles of as many stretches."""
    count = min(frames, count)
    return [(2 * place + 1) * frames // (2 * count) for place in range(count)]


def averaged(images: Tensor, block: int) -> Tensor:
    """Means over blocks of that side: ``[n, T, C, H, W]`` to ``[n, T, C, H // block, W // block]``."""
    if block == 1:
        return images
    return torch.unflatten(F.avg_pool2d(images.flatten(0, 1), block), 0, images.shape[:2])
