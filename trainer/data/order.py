"""The order in which training images are visited: seeded permutations, resumable in the middle."""

from typing import TypedDict

import torch
from torch import Tensor


class OrderState(TypedDict):
    """Where a `DataOrder` stands."""

    epoch: int
    position: int


class DataOrder:
    """Every image once per epoch, in a permutation that depends on the seed and the epoch alone.

    A batch that passes the end of an epoch goes on in the next, so no image is left out.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed = size, seed
        self._epoch, self._position = 0, 0
        self._permutation = self._permute()

    def next(self, n: int) -> Tensor:
        """Indices of the next `n` images, int64 ``[n]``."""
        parts = []
        while n > 0:
            part = self._permutation[self._position : self._position + n]
            parts.append(part)
            n -= len(part)
            self._position += len(part)
            if self._position == self._size:
                self._epoch, self._position = self._epoch + 1, 0
                self._permutation = self._permute()
        return torch.cat(parts)

    def state_dict(self) -> OrderState:
        """Enough to go on from here."""
        return {"epoch": self._epoch, "position": self._position}

    def load_state_dict(self, state: OrderState) -> None:
        """Go on from where `state` was taken."""
        self._epoch, self._position = state["epoch"], state["position"]
        self._permutation = self._permute()

    def _permute(self) -> Tensor:
        # Large odd multipliers keep the generators of neighbouring seeds and epochs apart.
        seed = (self._seed * 0x9E3779B97F4A7C15 + self._epoch * 0xBF58476D1CE4E5B9 + 1) % 2**63
        return torch.randperm(self._size, generator=torch.Generator().manual_seed(seed))
