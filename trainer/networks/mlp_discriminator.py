"""A fully connected discriminator."""

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import DiscriminatorConfig, FeatureDiscriminator


class MlpDiscriminatorConfig(DiscriminatorConfig):
    """Linear layers with leaky ReLU; the class enters beside the pixels (Mirza and Osindero 2014)."""

    kind: Literal["mlp"] = "mlp"
    """Which discriminator."""

    hidden: tuple[int, ...] = Field(default=(512, 256), min_length=1, max_length=16)
    """Units of each hidden layer, from the image towards the logit."""

    label_dim: int = Field(default=16, ge=1, le=1024)
    """Numbers in the learned embedding of a class; unused without classes."""

    slope: float = Field(default=0.2, ge=0, lt=1)
    """Slope of the leaky ReLU below zero."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of hidden units dropped while training."""

    def build(self, spec: ImageSpec) -> "MlpDiscriminator":
        """A freshly initialized discriminator of images of that size."""
        return MlpDiscriminator(self, spec)


class MlpDiscriminator(FeatureDiscriminator):
    """Pixels and class embedding through linear layers to one logit. Its features are the first hidden layer's
    inputs from the pixels, before the class is added to them."""

    def __init__(self, config: MlpDiscriminatorConfig, spec: ImageSpec) -> None:
        super().__init__()
        first = config.hidden[0]
        self.pixels = nn.Linear(spec.channels * spec.height * spec.width, first)
        self.embed = nn.Embedding(spec.classes, config.label_dim) if spec.classes > 1 else None
        # One linear layer over pixels and embedding side by side, written as a sum of two.
        self.label = nn.Linear(config.label_dim, first, bias=False) if spec.classes > 1 else None
        layers: list[nn.Module] = [nn.LeakyReLU(config.slope), nn.Dropout(config.dropout)]
        for before, after in pairwise(config.hidden):
            layers += [nn.Linear(before, after), nn.LeakyReLU(config.slope), nn.Dropout(config.dropout)]
        layers.append(nn.Linear(config.hidden[-1], 1))
        self.layers = nn.Sequential(*layers)

    def features(self, images: Tensor) -> Tensor:
        """Images in −1 … 1, float ``[n, C, H, W]``, to float ``[n, hidden[0]]``."""
        features: Tensor = self.pixels(images.flatten(1))
        return features

    def judge(self, features: Tensor, labels: Tensor) -> Tensor:
        """``[n, hidden[0]]`` and int64 ``[n]`` to logits, float ``[n]``."""
        if self.embed is not None and self.label is not None:
            features = features + self.label(self.embed(labels))
        logits: Tensor = self.layers(features)
        return torch.squeeze(logits, 1).float()
