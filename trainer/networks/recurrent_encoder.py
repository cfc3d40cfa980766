"""An encoder of sequences: what is shown, how it moves, and what happens at each step."""

from dataclasses import replace
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.networks.base import Encoder, EncoderConfig, Generator, Posterior, check_moving
from trainer.networks.sequence_discriminator import averaged
from trainer.networks.shifts import centred, centres
from trainer.networks.strided_convolutions import StridedConvolutions, StridedConvolutionsConfig


class RecurrentEncoderConfig(EncoderConfig):
    """Convolutions over the picture that stands still where all frames are laid upon each other, an LSTM in both
    directions over where it is in each."""

    kind: Literal["recurrent"] = "recurrent"
    """Which encoder."""

    convolutions: StridedConvolutionsConfig = StridedConvolutionsConfig()
    """From the picture to small feature maps."""

    window: int | None = Field(default=None, ge=4, le=256)
    """Side in pixels of the picture; null: the longer side of the frame."""

    coarse: int = Field(default=4, ge=1, le=8)
    """Side of the blocks of pixels over which frames are averaged before the LSTM reads them."""

    features: int = Field(default=64, ge=1, le=4096)
    """Numbers per frame that the LSTM reads, and numbers of the picture."""

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
    """q(z|x₁…x_T): latents of the sequence from its picture and the LSTM's last states, those of a step from its
    state there.

    Frames are laid upon each other by their centres of brightness, so that what is shown need not be found at every
    place anew, and what all frames show is seen without what moves.
    """

    def __init__(self, config: RecurrentEncoderConfig, spec: ImageSpec, generator: Generator) -> None:
        super().__init__()
        self._coarse, self._window = config.coarse, config.window or max(spec.height, spec.width)
        self.body = StridedConvolutions(config.convolutions, replace(spec, height=self._window, width=self._window))
        self.picture = nn.Linear(self.body.outputs, config.features)
        pixels = spec.channels * (spec.height // config.coarse) * (spec.width // config.coarse)
        self.frame = nn.Linear(pixels + 2, config.features)
        self.lstm = nn.LSTM(config.features, config.state, batch_first=True, bidirectional=True)
        of_sequence = generator.latent_dim - spec.frames * generator.step_dim
        self.sequence = nn.Linear(config.features + 4 * config.state, 2 * of_sequence)
        self.step = nn.Linear(2 * config.state, 2 * generator.step_dim) if generator.step_dim else None

    def forward(self, images: Tensor) -> Posterior:
        """Images in −1 … 1, float ``[n, T, C, H, W]``, to mean and log-variance, float ``[n, latent_dim]`` each."""
        standing = centred(images, self._window).mean(1)
        picture = F.leaky_relu(self.picture(self.body(standing)), self.body.slope)
        seen = torch.cat([averaged(images, self._coarse).flatten(2), 4 * centres(images) / images.shape[-1]], dim=2)
        states, _ = self.lstm(F.leaky_relu(self.frame(seen), self.body.slope))
        whole = torch.cat([picture, states[:, 0], states[:, -1]], dim=1)
        mean, log_variance = self.sequence(whole).float().chunk(2, dim=1)
        if self.step is not None:
            step_mean, step_log_variance = self.step(states).float().chunk(2, dim=2)
            mean = torch.cat([mean, step_mean.flatten(1)], dim=1)
            log_variance = torch.cat([log_variance, step_log_variance.flatten(1)], dim=1)
        return mean, log_variance
