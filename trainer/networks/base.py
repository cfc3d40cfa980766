"""What every generator and discriminator has in common, whatever is inside."""

from abc import ABC, abstractmethod
from typing import Self

from torch import Tensor, nn

from trainer.config import Config
from trainer.data.images import ImageSpec
from trainer.errors import ConfigError
from trainer.networks.channels import ChannelGroup


class Generator(nn.Module, ABC):
    """Latents and labels to images.

    Attributes:
        latent_dim: numbers per latent, standard normal.
        frames: above 1 for sequences, ``[n, T, C, H, W]``.
        conditional: whether labels change the images; if not, the package has no classes.
        step_dim: numbers of the latent that belong to one frame each; those of all frames are its end.
    """

    latent_dim: int
    frames: int = 1
    conditional: bool = True
    step_dim: int = 0

    @abstractmethod
    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """float ``[n, latent_dim]`` and int64 ``[n]`` to images in −1 … 1, float ``[n, C, H, W]``."""

    def channel_groups(self) -> list[ChannelGroup]:
        """Channels that can be pruned, in the order in which they are computed; none: it knows of none.

        A generator that is built from `GeneratorConfig.narrowed` has the same groups, with fewer channels in each.
        """
        return []


class Discriminator(nn.Module, ABC):
    """Images and labels to one logit each; above zero means "real". Sequences may get several."""

    @abstractmethod
    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images in −1 … 1, float ``[n, C, H, W]``, and int64 ``[n]`` to logits, float ``[n]``."""


class FeatureDiscriminator(Discriminator):
    """A discriminator with a hidden layer in which images can be compared."""

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Images in −1 … 1, float ``[n, C, H, W]``, to the hidden layer, float ``[n, k]``."""

    @abstractmethod
    def judge(self, features: Tensor, labels: Tensor) -> Tensor:
        """The rest of the way: ``[n, k]`` and int64 ``[n]`` to logits, float ``[n]``."""

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """See `Discriminator.forward`."""
        return self.judge(self.features(images), labels)


Posterior = tuple[Tensor, Tensor]
"""Mean and log-variance of each latent number, float ``[n, latent_dim]`` both."""


class Encoder(nn.Module, ABC):
    """Images to a normal distribution over the latents that could have made them."""

    @abstractmethod
    def forward(self, images: Tensor) -> Posterior:
        """Images in −1 … 1, float ``[n, C, H, W]``; sequences ``[n, T, C, H, W]``."""


class EncoderConfig(Config, ABC):
    """The `encoder` of a system that has one."""

    kind: str
    """Which encoder; see `trainer.networks.ENCODERS`."""

    @abstractmethod
    def build(self, spec: ImageSpec, generator: Generator) -> Encoder:
        """A freshly initialized encoder of images of that size into the latents of `generator`."""


class GeneratorConfig(Config, ABC):
    """A recipe's `generator` section."""

    kind: str
    """Which generator; see `trainer.networks.GENERATORS`."""

    @abstractmethod
    def build(self, spec: ImageSpec) -> Generator:
        """A freshly initialized generator of images of that size."""

    def narrowed(self, keep: float) -> Self | None:
        """The same network with about the share `keep` of its channels; None: it knows of none that could go."""
        del keep
        return None


class DiscriminatorConfig(Config, ABC):
    """A recipe's `discriminator` section."""

    kind: str
    """Which discriminator; see `trainer.networks.DISCRIMINATORS`."""

    @abstractmethod
    def build(self, spec: ImageSpec) -> Discriminator:
        """A freshly initialized discriminator of images of that size."""


def check_moving(role: str, spec: ImageSpec) -> None:
    """Refuse still images for a network of sequences.

    Raises:
        ConfigError: saying how images are set in motion.
    """
    if spec.frames == 1:
        raise ConfigError(f"{role}: is for sequences, the images are still; --set data.moving={{}} sets them in motion")


def doublings(spec: ImageSpec) -> int:
    """How often a start of at most 7×7 must be doubled to reach the image: 8 → 1, 28 → 2, 32 → 3, 64 → 4."""
    count = 0
    while -(-max(spec.height, spec.width) // 2**count) > 7:
        count += 1
    return count
