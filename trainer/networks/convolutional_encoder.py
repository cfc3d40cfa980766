"""An encoder of single images."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import Encoder, EncoderConfig, Generator, Posterior
from trainer.networks.strided_convolutions import StridedConvolutions, StridedConvolutionsConfig


class ConvolutionalEncoderConfig(EncoderConfig):
    """Strided convolutions, a hidden layer, then mean and log-variance of each latent number."""

    kind: Literal["convolutional"] = "convolutional"
    """Which encoder."""

    convolutions: StridedConvolutionsConfig = StridedConvolutionsConfig()
    """From the image to small feature maps."""

    features: int = Field(default=128, ge=1, le=4096)
    """Numbers per image before mean and variance."""

    def build(self, spec: ImageSpec, generator: Generator) -> "ConvolutionalEncoder":
        """See `EncoderConfig.build`."""
        return ConvolutionalEncoder(self, spec, generator)


class ConvolutionalEncoder(Encoder):
    """q(z|x), a normal distribution with diagonal covariance (Kingma and Welling 2014, eq. 9)."""

    def __init__(self, config: ConvolutionalEncoderConfig, spec: ImageSpec, generator: Generator) -> None:
        super().__init__()
        self.body = StridedConvolutions(config.convolutions, spec)
        self.linear = nn.Linear(self.body.outputs, config.features)
        self.posterior = nn.Linear(config.features, 2 * generator.latent_dim)

    def forward(self, images: Tensor) -> Posterior:
        """Images in −1 … 1, float ``[n, C, H, W]``, to mean and log-variance, float ``[n, latent_dim]`` each."""
        hidden = F.leaky_relu(self.linear(self.body(images)), self.body.slope)
        mean, log_variance = self.posterior(hidden).float().chunk(2, dim=1)
        return mean, log_variance
