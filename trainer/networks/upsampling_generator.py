"""A conditional generator of nearest-neighbour upsampling and convolutions."""

from itertools import pairwise
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import Generator, GeneratorConfig, doublings
from trainer.networks.channels import Axis, ChannelGroup, fewer, layer_axes, norm_axes
from trainer.networks.conditional_batch_norm import ConditionalBatchNorm2d
from trainer.networks.resampled_convolutions import UpsampledConv2d


class UpsamplingGeneratorConfig(GeneratorConfig):
    """Upsampling and convolution instead of transposed convolution: the latter has no int8 kernel on CPUs."""

    kind: Literal["upsampling"] = "upsampling"
    """Which generator."""

    latent_dim: int = Field(default=64, ge=1, le=4096)
    """Numbers per latent."""

    label_dim: int = Field(default=16, ge=1, le=1024)
    """Numbers in the learned embedding of a class, beside the latent at the input."""

    width: int = Field(default=128, ge=4, le=4096)
    """Channels of the smallest feature maps; halved at each doubling of the size."""

    min_width: int = Field(default=32, ge=4, le=4096)
    """Channels below which the halving stops."""

    def build(self, spec: ImageSpec) -> "UpsamplingGenerator":
        """A freshly initialized generator of images of that size."""
        return UpsamplingGenerator(self, spec)

    def narrowed(self, keep: float) -> Self:
        """See `GeneratorConfig.narrowed`."""
        return self.model_copy(update={name: fewer(getattr(self, name), keep) for name in ("width", "min_width")})


class UpsamplingGenerator(Generator):
    """Linear to a small feature map, then upsample, 3×3 convolution, conditional batch norm, ReLU; at last tanh.

    The start is the image's size halved until it is at most 7×7; what that rounds up is cut off at the end.
    """

    def __init__(self, config: UpsamplingGeneratorConfig, spec: ImageSpec) -> None:
        super().__init__()
        steps = doublings(spec)
        widths = [max(config.min_width, config.width >> step) for step in range(steps + 1)]
        self.latent_dim = config.latent_dim
        self.conditional = spec.classes > 1
        self._size, self._widths = (spec.height, spec.width), widths
        self._start = (widths[0], -(-spec.height // 2**steps), -(-spec.width // 2**steps))
        self.embed = nn.Embedding(spec.classes, config.label_dim)
        self.linear = nn.Linear(config.latent_dim + config.label_dim, widths[0] * self._start[1] * self._start[2])
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(width, spec.classes) for width in widths)
        self.convs = nn.ModuleList(UpsampledConv2d(before, after) for before, after in pairwise(widths))
        self.to_image = nn.Conv2d(widths[-1], spec.channels, 3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """float ``[n, latent_dim]`` and int64 ``[n]`` to images in −1 … 1, float ``[n, C, H, W]``."""
        if not self.conditional:  # built without classes, whatever the data has
            labels = torch.zeros_like(labels)
        hidden = (
            self.linear(torch.cat([latents, self.embed(labels)], dim=1))
            .unflatten(1, self._start)
            .contiguous(memory_format=torch.channels_last)
        )
        hidden = F.relu(self.norms[0](hidden, labels))
        for conv, norm in zip(self.convs, list(self.norms)[1:], strict=True):
            hidden = F.relu(norm(conv(hidden), labels))
        height, width = self._size
        return torch.tanh(self.to_image(hidden))[:, :, :height, :width]

    def channel_groups(self) -> list[ChannelGroup]:
        """See `Generator.channel_groups`: those of each feature map."""
        readers = [*(f"convs.{index}.weight" for index in range(len(self.convs))), "to_image.weight"]
        makers = [layer_axes("linear", block=self._start[1] * self._start[2])]
        makers += [layer_axes(f"convs.{index}") for index in range(len(self.convs))]
        return [
            ChannelGroup(
                width, makers[index], (f"norms.{index}.scale",), (*norm_axes(f"norms.{index}"), Axis(readers[index], 1))
            )
            for index, width in enumerate(self._widths)
        ]
