"""A generator of sequences: an LSTM walks through the latent space, one decoder draws every frame."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import Generator, GeneratorConfig, check_moving
from trainer.networks.upsampling_generator import UpsamplingGenerator, UpsamplingGeneratorConfig


class LstmGeneratorConfig(GeneratorConfig):
    """Content and motion apart, as in MoCoGAN (Tulyakov et al. 2018, section 3)."""

    kind: Literal["lstm"] = "lstm"
    """Which generator."""

    content_dim: int = Field(default=16, ge=1, le=1024)
    """Numbers of the latent that every frame shares: what is shown."""

    motion_dim: int = Field(default=8, ge=1, le=1024)
    """Numbers of the latent from which the LSTM starts and which it reads at every step: how it moves."""

    step_dim: int = Field(default=0, ge=0, le=256)
    """Numbers of the latent for each step alone; 0: the whole path follows from `motion_dim`."""

    state: int = Field(default=96, ge=1, le=4096)
    """Width of the LSTM."""

    path_dim: int = Field(default=32, ge=1, le=1024)
    """Numbers per frame that the LSTM hands to the decoder beside the content."""

    label_dim: int = Field(default=16, ge=1, le=1024)
    """See the `upsampling` generator, which is the decoder, as for the two widths."""

    width: int = Field(default=64, ge=4, le=4096)
    """Channels of the decoder's smallest feature maps."""

    min_width: int = Field(default=32, ge=4, le=4096)
    """Channels below which the halving stops."""

    def build(self, spec: ImageSpec) -> "LstmGenerator":
        """A freshly initialized generator of sequences of that size and length.

        Raises:
            ConfigError: the images are still.
        """
        check_moving("generator lstm", spec)
        return LstmGenerator(self, spec)


class LstmGenerator(Generator):
    """x_t = D(content, path_t), where path follows the states of an LSTM; the latent is content, motion, steps."""

    def __init__(self, config: LstmGeneratorConfig, spec: ImageSpec) -> None:
        super().__init__()
        self.frames, self.step_dim, self.conditional = spec.frames, config.step_dim, spec.classes > 1
        self._split = [config.content_dim, config.motion_dim, spec.frames * config.step_dim]
        self.latent_dim = sum(self._split)
        self.start = nn.Linear(config.motion_dim, 2 * config.state)
        self.lstm = nn.LSTM(config.motion_dim + config.step_dim, config.state, batch_first=True)
        self.path = nn.Sequential(nn.Linear(config.state, config.state), nn.ReLU())
        self.to_path = nn.Linear(config.state, config.path_dim)
        decoder = UpsamplingGeneratorConfig(
            latent_dim=config.content_dim + config.path_dim,
            label_dim=config.label_dim,
            width=config.width,
            min_width=config.min_width,
        )
        self.decoder = UpsamplingGenerator(decoder, spec)

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """float ``[n, latent_dim]`` and int64 ``[n]`` to images in −1 … 1, float ``[n, T, C, H, W]``."""
        content, motion, steps = torch.split(latents, self._split, dim=1)
        hidden, cell = torch.tanh(self.start(motion)).chunk(2, dim=1)
        inputs = self._each_frame(motion)
        if self.step_dim:
            inputs = torch.cat([inputs, torch.unflatten(steps, 1, (self.frames, self.step_dim))], dim=2)
        states, _ = self.lstm(inputs, (hidden.unsqueeze(0).contiguous(), cell.unsqueeze(0).contiguous()))
        codes = torch.cat([self._each_frame(content), self.to_path(self.path(states))], dim=2)
        frames: Tensor = self.decoder(codes.flatten(0, 1), self._each_frame(labels[:, None]).flatten())
        return torch.unflatten(frames, 0, (-1, self.frames))

    def _each_frame(self, values: Tensor) -> Tensor:
        """``[n, k]`` to ``[n, T, k]``."""
        return values.unsqueeze(1).expand(-1, self.frames, -1)
