"""An encoder of sequences: what is shown, how it moves, and what happens at each step."""

from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import Encoder, EncoderConfig, Generator, Posterior, check_moving
from trainer.networks.strided_convolutions import StridedConvolutions, StridedConvolutionsConfig


class RecurrentEncoderConfig(EncoderConfig):
    """Features of each frame, an LSTM over them in both directions, then mean and log-variance."""

    kind: Literal["recurrent"] = "recurrent"
    """Which encoder."""

    convolutions: StridedConvolutionsConfig = StridedConvolutionsConfig()
    """From a frame to small feature maps."""

    features: int = Field(default=64, ge=1, le=4096)
    """Numbers per frame that the LSTM reads."""

    state: int = Field(default=64, ge=1, le=4096)
    """Width of the LSTM in each direction."""

    def build(self, spec: ImageSpec, generator: Generator) -> "RecurrentEncoder":
        """See `EncoderConfig.build`.

        Raises:
            ConfigError: the images are still.
        """
        check_moving("encoder recurrent", spec)
        return RecurrentEncoder(self, spec, generator)


class RecurrentEncoder(Encoder):
    """q(z|x₁…x_T): latents of the sequence from the LSTM's last states, those of a step from its state there."""

    def __init__(self, config: RecurrentEncoderConfig, spec: ImageSpec, generator: Generator) -> None:
        super().__init__()
        self.body = StridedConvolutions(config.convolutions, spec)
        self.linear = nn.Linear(self.body.outputs, config.features)
        self.lstm = nn.LSTM(config.features, config.state, batch_first=True, bidirectional=True)
        of_sequence = generator.latent_dim - spec.frames * generator.step_dim
        self.sequence = nn.Linear(4 * config.state, 2 * of_sequence)
        self.step = nn.Linear(2 * config.state, 2 * generator.step_dim) if generator.step_dim else None

    def forward(self, images: Tensor) -> Posterior:
        """Images in −1 … 1, float ``[n, T, C, H, W]``, to mean and log-variance, float ``[n, latent_dim]`` each."""
        features = F.leaky_relu(self.linear(self.body(images)), self.body.slope)
        states, _ = self.lstm(features)
        mean, log_variance = self.sequence(torch.cat([states[:, 0], states[:, -1]], dim=1)).float().chunk(2, dim=1)
        if self.step is not None:
            step_mean, step_log_variance = self.step(states).float().chunk(2, dim=2)
            mean = torch.cat([mean, step_mean.flatten(1)], dim=1)
            log_variance = torch.cat([log_variance, step_log_variance.flatten(1)], dim=1)
        return mean, log_variance
