"""A generator of transposed convolutions (Radford et al. 2016, "Unsupervised representation learning with deep
convolutional generative adversarial networks", section 3)."""

from itertools import pairwise
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.errors import DataError
from trainer.networks.base import Generator, GeneratorConfig
from trainer.networks.channels import Axis, ChannelGroup, fewer, layer_axes, norm_axes
from trainer.networks.conditional_batch_norm import ConditionalBatchNorm2d

_LARGEST_START = 8


class DcganGeneratorConfig(GeneratorConfig):
    """7×7×256 → 128 → 64 → image at 28×28. Processors have no 8-bit transposed convolutions: int8 graphs get ordinary
    ones in their place, see `trainer.compress.transposed_convolutions`."""

    kind: Literal["dcgan"] = "dcgan"
    """Which generator."""

    latent_dim: int = Field(default=100, ge=1, le=4096)
    """Numbers per latent."""

    label_dim: int = Field(default=16, ge=1, le=1024)
    """Numbers in the learned embedding of a class, beside the latent at the input; unused without classes."""

    width: int = Field(default=256, ge=4, le=4096)
    """Channels of the smallest feature maps; halved at each layer."""

    min_width: int = Field(default=16, ge=4, le=4096)
    """Channels below which the halving stops."""

    def build(self, spec: ImageSpec) -> "DcganGenerator":
        """A freshly initialized generator of images of that size.

        Raises:
            DataError: the sides are no multiples of what the doublings make.
        """
        return DcganGenerator(self, spec)

    def narrowed(self, keep: float) -> Self:
        """See `GeneratorConfig.narrowed`."""
        return self.model_copy(update={name: fewer(getattr(self, name), keep) for name in ("width", "min_width")})


class DcganGenerator(Generator):
    """Linear to the start, then transposed convolutions, batch norm and ReLU; at last tanh.

    The start is a quarter of the image, or less where that is more than 8 pixels. At least three layers: where two
    doublings reach the image (28 and 32 pixels), the first keeps the size.
    """

    def __init__(self, config: DcganGeneratorConfig, spec: ImageSpec) -> None:
        super().__init__()
        self.latent_dim = config.latent_dim
        self.conditional = spec.classes > 1
        doublings = dcgan_doublings(spec)
        layers = max(3, doublings)
        self._widths = widths = [max(config.min_width, config.width >> layer) for layer in range(layers)]
        self._start = (widths[0], spec.height >> doublings, spec.width >> doublings)
        self.embed = nn.Embedding(spec.classes, config.label_dim) if self.conditional else None
        inputs = config.latent_dim + (config.label_dim if self.conditional else 0)
        self.linear = nn.Linear(inputs, widths[0] * self._start[1] * self._start[2], bias=False)
        self.norms = nn.ModuleList(ConditionalBatchNorm2d(width, spec.classes) for width in widths)
        self.convs = nn.ModuleList(
            _transposed(before, after, doubles=layer >= layers - doublings)
            for layer, (before, after) in enumerate(pairwise((*widths, spec.channels)))
        )
        for module in (self.linear, *self.convs):
            nn.init.normal_(module.weight, std=0.02)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """float ``[n, latent_dim]`` and int64 ``[n]`` to images in −1 … 1, float ``[n, C, H, W]``."""
        if self.embed is not None:
            latents = torch.cat([latents, self.embed(labels)], dim=1)
        hidden = self.linear(latents).unflatten(1, self._start).contiguous(memory_format=torch.channels_last)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            hidden = conv(F.relu(norm(hidden, labels)))
        return torch.tanh(hidden)

    def channel_groups(self) -> list[ChannelGroup]:
        """See `Generator.channel_groups`: those of each feature map."""
        makers = [layer_axes("linear", block=self._start[1] * self._start[2], bias=False)]
        makers += [layer_axes(f"convs.{index}", transposed=True) for index in range(len(self.convs) - 1)]
        return [
            ChannelGroup(
                width,
                makers[index],
                (f"norms.{index}.scale",),
                (*norm_axes(f"norms.{index}"), Axis(f"convs.{index}.weight", 0)),
            )
            for index, width in enumerate(self._widths)
        ]


def dcgan_doublings(spec: ImageSpec) -> int:
    """How often the start is doubled: 8 → 2, 28 → 2, 32 → 2, 56 → 3, 64 → 3.

    Raises:
        DataError: a side is not a multiple of 2 to that power.
    """
    doublings = 2
    while max(spec.height, spec.width) >> doublings > _LARGEST_START:
        doublings += 1
    factor = 2**doublings
    if spec.height % factor or spec.width % factor:
        raise DataError(
            f"generator dcgan: images of {spec.width}×{spec.height} pixels; sides must be multiples of {factor} here "
            "(28, 32, 56 and 64 are fine), --set data.size=32 resizes"
        )
    return doublings


def _transposed(before: int, after: int, *, doubles: bool) -> nn.ConvTranspose2d:
    # 4×4 at stride 2: each output pixel takes part in as many products as its neighbour (no checkerboard).
    if doubles:
        return nn.ConvTranspose2d(before, after, 4, stride=2, padding=1)
    return nn.ConvTranspose2d(before, after, 3, padding=1)
