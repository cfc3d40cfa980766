"""What a package's own discriminator sees in images: the hidden layer from which it judges."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from trainer.networks.base import Discriminator, FeatureDiscriminator

Perception = Callable[[Tensor, Tensor], Tensor]
"""Images in −1 … 1, float ``[n, C, H, W]``, and int64 ``[n]`` labels to features, float ``[n, k]``."""


def perception_of(discriminator: Discriminator) -> Perception | None:
    """Its features, or else what its last layer, `output`, reads; None: it has neither."""
    if isinstance(discriminator, FeatureDiscriminator):
        return lambda images, _labels: discriminator.features(images)
    if isinstance(getattr(discriminator, "output", None), nn.Linear):
        return _BeforeOutput(discriminator)
    return None


class _BeforeOutput:
    def __init__(self, discriminator: Discriminator) -> None:
        self._discriminator, self._read = discriminator, list[Tensor]()
        output = discriminator.output
        assert isinstance(output, nn.Linear)
        output.register_forward_pre_hook(self._keep)

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        self._discriminator(images, labels)
        return self._read.pop()

    def _keep(self, _layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._read.append(inputs[0])
