"""Several processes as one: each takes its part of every batch, and all hold the same weights.

``torchrun --nproc-per-node 2 -m trainer -- RECIPE --run …``. What one process would draw, several draw alike and share
out (`SharedDraws`), and gradients are averaged before each optimizer step (`AveragedGradients`), so that they
compute what one process computes on the same global batch, but for the order of sums. Batch normalization sees
each process's own part, as everywhere.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor
from torch.overrides import TorchFunctionMode

_BY_SIZE: tuple[Callable[..., Tensor], ...] = (torch.randn, torch.rand)
_BY_EXAMPLE: tuple[Callable[..., Tensor], ...] = (torch.randn_like, torch.rand_like)
_INTEGERS: tuple[Callable[..., Tensor], ...] = (torch.randint,)


def world_size() -> int:
    """Processes that torchrun started, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def processes_per_node() -> int:
    """Those of them on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def leads() -> bool:
    """Whether this process writes the run folder and speaks."""
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def group_left_at_the_end() -> Iterator[None]:
    """Leave the group of processes on the way out: its threads, if they are running when the interpreter ends,
    abort the process. Fabric does so for NCCL only."""
    try:
        yield
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


class AveragedGradients(DDPStrategy):
    """Distributed data parallelism without a wrapper around networks.

    PyTorch's wrapper allows one forward and one backward pass per network and step; adversarial training with its
    penalties and frozen opponents has more of both. Here only the optimizer step is special.
    """

    def setup_module(self, module: torch.nn.Module) -> torch.nn.Module:  # type: ignore[override]
        """Leave the network as it is: every process has built it from the same seed."""
        return module

    def optimizer_step(self, optimizer: Any, **kwargs: Any) -> Any:
        """Average the gradients over all processes, then step."""
        gradients = [
            parameter.grad
            for group in optimizer.param_groups
            for parameter in group["params"]
            if parameter.grad is not None
        ]
        if gradients:
            flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
            self.all_reduce(flat, reduce_op="mean")
            start = 0
            for gradient in gradients:
                gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
                start += gradient.numel()
        return super().optimizer_step(optimizer, **kwargs)


class SharedDraws(TorchFunctionMode):
    """Within it, random tensors of one row per image are drawn for the whole batch, and this process keeps its rows.

    Other random tensors (masks over weights) are drawn alike in every process. All processes hold the same random
    state before and after, so that one checkpoint serves any number of them.
    """

    def __init__(self, rank: int, world: int, rows: int, accumulate: int = 1) -> None:
        """`rows` are the images of one process's part of the batch, which may itself pass in parts."""
        super().__init__()
        self._rank, self._world, self._rows = rank, world, (rows, rows // accumulate)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Widen `func` where it draws rows of this process."""
        kwargs = kwargs or {}
        if kwargs.get("generator") is None:
            if func in _BY_SIZE:
                size = tuple(args[0] if args and not isinstance(args[0], int) else args)
                if size and size[0] in self._rows:
                    return self._own_rows(func(size[0] * self._world, *size[1:], **kwargs))
            elif func in _INTEGERS and args[-1] and args[-1][0] in self._rows:
                return self._own_rows(func(*args[:-1], (args[-1][0] * self._world, *args[-1][1:]), **kwargs))
            elif func in _BY_EXAMPLE and args[0].ndim and len(args[0]) in self._rows:
                whole = args[0].new_empty(len(args[0]) * self._world, *args[0].shape[1:])
                return self._own_rows(func(whole, **kwargs))
        return func(*args, **kwargs)

    def _own_rows(self, whole: Tensor) -> Tensor:
        return whole.chunk(self._world)[self._rank].contiguous()
