"""A generator of sequences: an LSTM walks through the latent space, one decoder draws every frame."""

from dataclasses import replace
from typing import Literal, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainer.data.images import ImageSpec
from trainer.errors import ConfigError
from trainer.networks.base import Generator, GeneratorConfig, check_moving
from trainer.networks.channels import Axis, ChannelGroup, fewer, layer_axes
from trainer.networks.shifts import shift
from trainer.networks.upsampling_generator import UpsamplingGenerator, UpsamplingGeneratorConfig

_FIRST_SPEED = 0.5  # of the LSTM's first outputs, which are about 0.2, in reaches per frame


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

    path_dim: int = Field(default=32, ge=0, le=1024)
    """Numbers per frame that the LSTM hands to the decoder beside the content; 0: the decoder draws once, and all
    that moves is the picture as a whole."""

    reach: float = Field(default=0.0, ge=0, le=1)
    """How far the LSTM may shift what the decoder drew, as a share of the side; 0: it does not. A decoder of
    convolutions spends long on learning to draw the same thing at any place, a shift has it for nothing."""

    whole_pixels: bool = False
    """Whether what is shifted lands on whole pixels, as sharp as it was drawn; gradients pass as if it did not."""

    picture: int | None = Field(default=None, ge=4, le=256)
    """Side in pixels of what the decoder draws, in the middle of the frame, before it is shifted; null: all of the
    frame. A smaller one is faster, and holds nothing back beyond the border that a shift would bring into view."""

    label_dim: int = Field(default=16, ge=1, le=1024)
    """See the `upsampling` generator, which is the decoder, as for the two widths."""

    width: int = Field(default=64, ge=4, le=4096)
    """Channels of the decoder's smallest feature maps."""

    min_width: int = Field(default=32, ge=4, le=4096)
    """Channels below which the halving stops."""

    def build(self, spec: ImageSpec) -> "LstmGenerator":
        """A freshly initialized generator of sequences of that size and length.

        Raises:
            ConfigError: the images are still, or nothing would move.
        """
        check_moving("generator lstm", spec)
        if not (self.path_dim or self.reach):
            raise ConfigError("generator lstm: path_dim and reach are both 0, nothing would move")
        return LstmGenerator(self, spec)

    def narrowed(self, keep: float) -> Self:
        """See `GeneratorConfig.narrowed`."""
        names = ("state", "width", "min_width")
        return self.model_copy(update={name: fewer(getattr(self, name), keep) for name in names})


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
        self.to_path = nn.Linear(config.state, config.path_dim) if config.path_dim else None
        self.to_velocity = nn.Linear(config.state, 2) if config.reach else None
        self.to_place = nn.Linear(config.motion_dim, 2)
        self._whole_pixels = config.whole_pixels
        self._reach = (config.reach * spec.height, config.reach * spec.width)
        decoder = UpsamplingGeneratorConfig(
            latent_dim=config.content_dim + config.path_dim,
            label_dim=config.label_dim,
            width=config.width,
            min_width=config.min_width,
        )
        self._size = (spec.height, spec.width)
        height, width = (min(side, config.picture or side) for side in self._size)
        self.decoder = UpsamplingGenerator(decoder, replace(spec, height=height, width=width))

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """float ``[n, latent_dim]`` and int64 ``[n]`` to images in −1 … 1, float ``[n, T, C, H, W]``."""
        content, motion, steps = torch.split(latents, self._split, dim=1)
        hidden, cell = torch.tanh(self.start(motion)).chunk(2, dim=1)
        inputs = self._each_frame(motion)
        if self.step_dim:
            inputs = torch.cat([inputs, torch.unflatten(steps, 1, (self.frames, self.step_dim))], dim=2)
        states, _ = self.lstm(inputs, (hidden.unsqueeze(0).contiguous(), cell.unsqueeze(0).contiguous()))
        path = self.path(states)
        frames = self._draw(content, path, labels)
        if self.to_velocity is None:
            return self._in_the_middle(frames)
        # Steps add up to places, so that something moves from the first day of training.
        walked = torch.cumsum(self.to_velocity(path).float() * _FIRST_SPEED, dim=1)
        down, right = torch.tanh(self.to_place(motion).float().unsqueeze(1) + walked).unbind(2)
        return self._shift(frames, down * self._reach[0], right * self._reach[1])

    def channel_groups(self) -> list[ChannelGroup]:
        """See `Generator.channel_groups`: units of the LSTM, of the layer after it, and the decoder's."""
        state = ChannelGroup(
            self.lstm.hidden_size,
            (Axis("lstm.weight_ih_l0", 0), Axis("lstm.weight_hh_l0", 0)),
            (),
            (
                *(Axis(f"lstm.{name}_l0", 0) for name in ("bias_ih", "bias_hh")),
                Axis("lstm.weight_hh_l0", 1),
                *layer_axes("start"),
                Axis("path.0.weight", 1),
            ),
        )
        readers = {"to_path": self.to_path, "to_velocity": self.to_velocity}
        others = tuple(Axis(f"{name}.weight", 1) for name, layer in readers.items() if layer is not None)
        path = ChannelGroup(self.lstm.hidden_size, layer_axes("path.0"), (), others)
        return [state, path, *(group.inside("decoder.") for group in self.decoder.channel_groups())]

    def _shift(self, frames: Tensor, down: Tensor, right: Tensor) -> Tensor:
        """``[n, T, C, H, W]``; `frames` are as large or smaller."""
        if not self._whole_pixels:
            return shift(frames, down, right, self._size)
        if not self.training:
            return shift(frames, down.round(), right.round(), self._size)
        between = shift(frames, down, right, self._size)
        with torch.no_grad():
            correction = shift(frames, down.round(), right.round(), self._size) - between
        return between + correction

    def _draw(self, content: Tensor, path: Tensor, labels: Tensor) -> Tensor:
        """``[n, T, C, H, W]``, or ``[n, 1, C, H, W]`` where every frame shows the same."""
        if self.to_path is None:
            return torch.unsqueeze(self.decoder(content, labels), 1)
        codes = torch.cat([self._each_frame(content), self.to_path(path)], dim=2)
        frames: Tensor = self.decoder(codes.flatten(0, 1), self._each_frame(labels[:, None]).flatten())
        return torch.unflatten(frames, 0, (-1, self.frames))

    def _in_the_middle(self, pictures: Tensor) -> Tensor:
        """On black (−1), at the size of the frame."""
        below, right = (whole - part for whole, part in zip(self._size, pictures.shape[-2:], strict=True))
        return F.pad(pictures, (right // 2, right - right // 2, below // 2, below - below // 2), value=-1.0)

    def _each_frame(self, values: Tensor) -> Tensor:
        """``[n, k]`` to ``[n, T, k]``."""
        return values.unsqueeze(1).expand(-1, self.frames, -1)
