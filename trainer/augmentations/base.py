"""What a differentiable augmentation is: a random change of images that gradients pass through."""

from abc import ABC, abstractmethod

from torch import Tensor

from trainer.config import Config


class AugmentationConfig(Config, ABC):
    """One entry of a recipe's `augmentations`: applied to real and generated images alike, before the
    discriminator (Zhao et al. 2020, "Differentiable augmentation for data-efficient GAN training", eqs. 4, 5).
    """

    kind: str
    """Which augmentation; see `trainer.augmentations.AUGMENTATIONS`."""

    @abstractmethod
    def apply(self, images: Tensor) -> Tensor:
        """Images in −1 … 1, float ``[n, C, H, W]``, to changed ones of the same shape."""
