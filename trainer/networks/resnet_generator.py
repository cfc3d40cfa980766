"""A residual generator (Miyato et al. 2018, "Spectral normalization for generative adversarial networks", table 4,
with conditional batch norm as in Miyato and Koyama 2018)."""

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


class ResnetGeneratorConfig(GeneratorConfig):
    """Residual blocks of nearest upsampling and convolutions; 4×4 → 32×32 in three blocks."""

    kind: Literal["resnet"] = "resnet"
    """Which generator."""

    latent_dim: int = Field(default=128, ge=1, le=4096)
    """Numbers per latent."""

    width: int = Field(default=128, ge=4, le=4096)
    """Channels of all feature maps; the paper's 256 is for a GPU."""

    normalize: bool = True
    """Conditional batch norm before each ReLU; without it the class is embedded beside the latent alone."""

    label_dim: int = Field(default=16, ge=1, le=1024)
    """Numbers in the learned embedding of a class, beside the latent at the input; unused without classes."""

    def build(self, spec: ImageSpec) -> "ResnetGenerator":
        """A freshly initialized generator of images of that size."""
        return ResnetGenerator(self, spec)

    def narrowed(self, keep: float) -> Self:
        """See `GeneratorConfig.narrowed`."""
        return self.model_copy(update={"width": fewer(self.width, keep)})


class ResnetGenerator(Generator):
    """Linear to a small feature map, upsampling residual blocks, batch norm, ReLU, 3×3 convolution, tanh.

    The start is the image's size halved until it is at most 7×7; what that rounds up is cut off at the end.
    """

    def __init__(self, config: ResnetGeneratorConfig, spec: ImageSpec) -> None:
        super().__init__()
        steps = doublings(spec)
        self.latent_dim = config.latent_dim
        self.conditional = spec.classes > 1
        self._size = (spec.height, spec.width)
        self._start = (config.width, -(-spec.height // 2**steps), -(-spec.width // 2**steps))
        self.embed = nn.Embedding(spec.classes, config.label_dim) if self.conditional else None
        inputs = config.latent_dim + (config.label_dim if self.conditional else 0)
        self.linear = nn.Linear(inputs, config.width * self._start[1] * self._start[2])
        norms = spec.classes if config.normalize else None
        self.blocks = nn.ModuleList(UpsamplingBlock(config.width, norms) for _ in range(steps))
        self.norm = make_norm(config.width, norms)
        self.to_image = nn.Conv2d(config.width, spec.channels, 3, padding=1)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """float ``[n, latent_dim]`` and int64 ``[n]`` to images in −1 … 1, float ``[n, C, H, W]``."""
        if self.embed is not None:
            latents = torch.cat([latents, self.embed(labels)], dim=1)
        hidden = self.linear(latents).unflatten(1, self._start).contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            hidden = block(hidden, labels)
        hidden = F.relu(self.norm(hidden, labels))
        height, width = self._size
        return torch.tanh(self.to_image(hidden))[:, :, :height, :width]

    def channel_groups(self) -> list[ChannelGroup]:
        """See `Generator.channel_groups`: those that all blocks add to, and those inside each."""
        blocks = [f"blocks.{index}" for index in range(len(self.blocks))]
        normalized = not isinstance(self.norm, Unnormalized)
        norms = [*(f"{block}.norm1" for block in blocks), "norm"] if normalized else []
        makers = [layer_axes("linear", block=self._start[1] * self._start[2])]
        makers += [layer_axes(f"{block}.{layer}") for block in blocks for layer in ("conv2", "shortcut")]
        readers = [Axis(f"{block}.{layer}.weight", 1) for block in blocks for layer in ("conv1", "shortcut")]
        shared = ChannelGroup(
            self._start[0],
            tuple(axis for axes in makers for axis in axes),
            tuple(f"{norm}.scale" for norm in norms),
            (*(axis for norm in norms for axis in norm_axes(norm)), *readers, Axis("to_image.weight", 1)),
        )
        inner = [
            ChannelGroup(
                self._start[0],
                layer_axes(f"{block}.conv1"),
                (f"{block}.norm2.scale",) if normalized else (),
                (*(norm_axes(f"{block}.norm2") if normalized else ()), Axis(f"{block}.conv2.weight", 1)),
            )
            for block in blocks
        ]
        return [shared, *inner]


class UpsamplingBlock(nn.Module):
    """x doubled in size, plus norm, ReLU, doubling, convolution, norm, ReLU, convolution of x."""

    def __init__(self, width: int, classes: int | None) -> None:
        super().__init__()
        self.norm1, self.norm2 = make_norm(width, classes), make_norm(width, classes)
        self.conv1 = UpsampledConv2d(width, width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(width, width, 1)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """``[n, width, H, W]`` and int64 ``[n]`` to ``[n, width, 2 H, 2 W]``."""
        hidden: Tensor = self.conv1(F.relu(self.norm1(images, labels)))
        hidden = self.conv2(F.relu(self.norm2(hidden, labels)))
        # A 1×1 convolution and nearest upsampling commute, and at the small size it costs a quarter.
        shortcut: Tensor = F.interpolate(self.shortcut(images), scale_factor=2.0, mode="nearest")
        return hidden + shortcut


class Unnormalized(nn.Module):
    """Takes the place of a norm, and does nothing."""

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """`images`."""
        del labels
        return images


def make_norm(width: int, classes: int | None) -> nn.Module:
    """Conditional batch norm, or none where `classes` is None."""
    return Unnormalized() if classes is None else ConditionalBatchNorm2d(width, classes)
