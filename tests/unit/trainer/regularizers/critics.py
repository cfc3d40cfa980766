"""Critics whose gradients are known, and what a step shows them."""

import torch
from torch import Tensor

from trainer.regularizers.base import Critic, Shown


def linear(images: Tensor) -> Tensor:
    """Gradient 3 at each of 2×2 pixels: squared norm 36."""
    return 3 * images.flatten(1).sum(1)


def quadratic(images: Tensor) -> Tensor:
    """Gradient equal to the image."""
    return images.square().flatten(1).sum(1) / 2


def shown(critic: Critic, real: float = 0.0, fake: float = 0.0, step: int = 0) -> Shown:
    """Three real and three generated images of 2×2 pixels, each of one level."""
    return Shown(critic, torch.full((3, 1, 2, 2), real), torch.full((3, 1, 2, 2), fake), step)


def value(penalty: Tensor | None) -> float:
    """The number in a penalty that must be there."""
    assert penalty is not None
    return penalty.item()
