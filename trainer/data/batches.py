"""Batches of a training set, in the order of its `DataOrder`, wherever its images lie."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from trainer.data.images import LabelledImages
from trainer.data.order import DataOrder, OrderState

Batch = tuple[Tensor, Tensor]
"""Images uint8 ``[n, C, H, W]``, of sequences ``[n, T, C, H, W]``, and labels int64 ``[n]``, on the device."""

_AHEAD, _READERS = 4, 2
"""Batches that are read before they are asked for, and threads that read them."""


class Batches(Protocol):
    """One batch after the other, without end."""

    def next(self) -> Batch:
        """The next batch."""
        ...

    def state_dict(self) -> OrderState:
        """Enough to go on after the last batch that `next` returned."""
        ...

    def load_state_dict(self, state: OrderState) -> None:
        """Go on from where `state` was taken."""
        ...


def make_batches(data: LabelledImages, order: DataOrder, size: int, device: torch.device, part: slice) -> Batches:
    """Batches of `data`.

    Args:
        size: images of a batch, over all processes.
        part: the rows of each batch that this process gets.
    """
    kind = MappedBatches if isinstance(data.images, np.memmap) else ResidentBatches
    return kind(data, order, size, device, part)


class ResidentBatches:
    """Of images that lie on the device, all of them."""

    def __init__(self, data: LabelledImages, order: DataOrder, size: int, device: torch.device, part: slice) -> None:
        """See `make_batches`."""
        self._order, self._size, self._part = order, size, part
        self._images = torch.from_numpy(data.images).movedim(-1, -3).contiguous().to(device)
        self._labels = torch.from_numpy(data.labels).to(device)

    def next(self) -> Batch:
        """See `Batches.next`."""
        rows = self._order.next(self._size).to(self._images.device)[self._part]
        return self._images[rows], self._labels[rows]

    def state_dict(self) -> OrderState:
        """See `Batches.state_dict`."""
        return self._order.state_dict()

    def load_state_dict(self, state: OrderState) -> None:
        """See `Batches.load_state_dict`."""
        self._order.load_state_dict(state)


class MappedBatches:
    """Of images in a file, read ahead by other threads."""

    def __init__(self, data: LabelledImages, order: DataOrder, size: int, device: torch.device, part: slice) -> None:
        """See `make_batches`."""
        self._data, self._order, self._size, self._device, self._part = data, order, size, device, part
        self._state = order.state_dict()
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="batches")
        self._coming: deque[tuple[Future[Batch], OrderState]] = deque()

    def next(self) -> Batch:
        """See `Batches.next`."""
        while len(self._coming) <= _AHEAD:
            rows = self._order.next(self._size)[self._part]
            self._coming.append((self._readers.submit(self._read, rows), self._order.state_dict()))
        batch, self._state = self._coming.popleft()
        images, labels = batch.result()
        return images.to(self._device, non_blocking=True), labels.to(self._device, non_blocking=True)

    def state_dict(self) -> OrderState:
        """See `Batches.state_dict`."""
        return self._state

    def load_state_dict(self, state: OrderState) -> None:
        """See `Batches.load_state_dict`."""
        self._coming.clear()
        self._order.load_state_dict(state)
        self._state = state

    def _read(self, rows: Tensor) -> Batch:
        images = torch.from_numpy(self._data.images[rows.numpy()]).movedim(-1, -3).contiguous()
        labels = torch.from_numpy(self._data.labels[rows.numpy()])
        if self._device.type == "cuda":
            return images.pin_memory(), labels.pin_memory()
        return images, labels
