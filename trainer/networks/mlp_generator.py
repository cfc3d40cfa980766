"""A fully connected generator."""

from itertools import pairwise
from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import Generator, GeneratorConfig
from trainer.networks.channels import Axis, ChannelGroup, fewer, layer_axes


class MlpGeneratorConfig(GeneratorConfig):
    """Linear layers with leaky ReLU; pixels know nothing of their neighbours."""

    kind: Literal["mlp"] = "mlp"
    """Which generator."""

    latent_dim: int = Field(default=100, ge=1, le=4096)
    """Numbers per latent."""

    label_dim: int = Field(default=16, ge=1, le=1024)
    """Numbers in the learned embedding of a class, beside the latent at the input; unused without classes."""

    hidden: tuple[int, ...] = Field(default=(256, 512, 1024), min_length=1, max_length=16)
    """Units of each hidden layer, from the latent towards the image."""

    slope: float = Field(default=0.2, ge=0, lt=1)
    """Slope of the leaky ReLU below zero; 0 makes it a ReLU."""

    batch_norm: bool = False
    """Batch normalization before each leaky ReLU."""

    output: Literal["tanh", "sigmoid"] = "tanh"
    """Last activation. The sigmoid's 0 … 1 is black to white, and stretched to the −1 … 1 of every generator."""

    def build(self, spec: ImageSpec) -> "MlpGenerator":
        """A freshly initialized generator of images of that size."""
        return MlpGenerator(self, spec)

    def narrowed(self, keep: float) -> Self:
        """See `GeneratorConfig.narrowed`."""
        return self.model_copy(update={"hidden": tuple(fewer(units, keep) for units in self.hidden)})


class MlpGenerator(Generator):
    """Linear, batch norm where asked for, leaky ReLU; repeated; then a linear layer to all pixels at once."""

    def __init__(self, config: MlpGeneratorConfig, spec: ImageSpec) -> None:
        super().__init__()
        self.latent_dim = config.latent_dim
        self.conditional = spec.classes > 1
        self._shape = (spec.channels, spec.height, spec.width)
        self._hidden = config.hidden
        self._sigmoid = config.output == "sigmoid"
        self.embed = nn.Embedding(spec.classes, config.label_dim) if self.conditional else None
        inputs = config.latent_dim + (config.label_dim if self.conditional else 0)
        layers: list[nn.Module] = []
        for before, after in pairwise((inputs, *config.hidden)):
            layers.append(nn.Linear(before, after))
            if config.batch_norm:
                layers.append(nn.BatchNorm1d(after))
            layers.append(nn.LeakyReLU(config.slope))
        layers.append(nn.Linear(config.hidden[-1], spec.channels * spec.height * spec.width))
        self.layers = nn.Sequential(*layers)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """float ``[n, latent_dim]`` and int64 ``[n]`` to images in −1 … 1, float ``[n, C, H, W]``."""
        if self.embed is not None:
            latents = torch.cat([latents, self.embed(labels)], dim=1)
        pixels: Tensor = self.layers(latents)
        pixels = 2 * torch.sigmoid(pixels) - 1 if self._sigmoid else torch.tanh(pixels)
        return pixels.unflatten(1, self._shape)  # type: ignore[no-untyped-call, no-any-return]

    def channel_groups(self) -> list[ChannelGroup]:
        """See `Generator.channel_groups`: the units of each hidden layer."""
        groups = []
        linears = [index for index, layer in enumerate(self.layers) if isinstance(layer, nn.Linear)]
        for units, (index, reader) in zip(self._hidden, pairwise(linears), strict=True):
            norm = index + 1 if isinstance(self.layers[index + 1], nn.BatchNorm1d) else None
            of_norm = () if norm is None else ("weight", "bias", "running_mean", "running_var")
            groups.append(
                ChannelGroup(
                    units,
                    layer_axes(f"layers.{index}"),
                    () if norm is None else (f"layers.{norm}.weight",),
                    (*(Axis(f"layers.{norm}.{name}", 0) for name in of_norm), Axis(f"layers.{reader}.weight", 1)),
                )
            )
        return groups
