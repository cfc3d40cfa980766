"""What every generator and discriminator has in common, whatever is inside."""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from trainer.config import Config
from trainer.data.images import ImageSpec


class Generator(nn.Module, ABC):
    """Latents and labels to images.

    Attributes:
        latent_dim: numbers per latent, standard normal.
        frames: above 1 for sequences, ``[n, T, C, H, W]``.
        conditional: whether labels change the images; if not, the package has no classes.
    """

    latent_dim: int
    frames: int = 1
    conditional: bool = True

    @abstractmethod
    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """float ``[n, latent_dim]`` and int64 ``[n]`` to images in −1 … 1, float ``[n, C, H, W]``."""


class Discriminator(nn.Module, ABC):
    """Images and labels to one logit each; above zero means "real"."""

    @abstractmethod
    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Images in −1 … 1, float ``[n, C, H, W]``, and int64 ``[n]`` to logits, float ``[n]``."""


class GeneratorConfig(Config, ABC):
    """A recipe's `generator` section."""

    kind: str
    """Which generator; see `trainer.networks.GENERATORS`."""

    @abstractmethod
    def build(self, spec: ImageSpec) -> Generator:
        """A freshly initialized generator of images of that size."""


class DiscriminatorConfig(Config, ABC):
    """A recipe's `discriminator` section."""

    kind: str
    """Which discriminator; see `trainer.networks.DISCRIMINATORS`."""

    @abstractmethod
    def build(self, spec: ImageSpec) -> Discriminator:
        """A freshly initialized discriminator of images of that size."""


def doublings(spec: ImageSpec) -> int:
    """How often a start of at most 7×7 must be doubled to reach the image: 8 → 1, 28 → 2, 32 → 3, 64 → 4."""
    count = 0
    while -(-max(spec.height, spec.width) // 2**count) > 7:
        count += 1
    return count
