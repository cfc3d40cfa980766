"""What the loop trains: anything that takes one step on a batch and can be saved, resumed and sampled."""

from typing import Any, Protocol

from torch import Tensor

from trainer.networks.base import Generator

Metrics = dict[str, Tensor]
"""Scalars without gradients, by name."""


class System(Protocol):
    """Networks, their optimizers, and the rule by which a batch changes them."""

    def step(self, images: Tensor, labels: Tensor, step: int, rate: float) -> Metrics:
        """One update of every network.

        Args:
            images: uint8 ``[n, C, H, W]`` on the system's device.
            labels: int64 ``[n]``.
            step: number of steps taken before this one.
            rate: factor of every learning rate, 0 … 1.
        """
        ...

    def averaged_generator(self, statistics_images: int) -> Generator:
        """A copy of the generator as it would be packaged now, in eval mode and fp32.

        Args:
            statistics_images: generated images over which batch-norm statistics are taken.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, enough to go on exactly."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        ...
