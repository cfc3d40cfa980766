"""Structured pruning: the channels that matter most, in a network that has no others."""

from typing import Literal

import torch
from torch import Tensor

from trainer.networks.base import Generator
from trainer.networks.channels import Axis, ChannelGroup

State = dict[str, Tensor]
"""A state dict."""


@torch.no_grad()
def fill_narrow(narrow: Generator, wide: Generator, criterion: Literal["scale", "norm"]) -> None:
    """Give `narrow` the most important channels of `wide`, in their order.

    Args:
        narrow: built from the `narrowed` config of `wide`.
        criterion: see `ChannelPruningConfig.criterion`.
    """
    whole = {name: value.clone() for name, value in wide.state_dict().items()}
    state = dict(whole)
    for group, smaller in zip(wide.channel_groups(), narrow.channel_groups(), strict=True):
        importance = channel_importance(whole, group, criterion)
        kept = importance.argsort(descending=True, stable=True)[: smaller.size].sort().values
        for axis in (*group.makers, *group.others):
            state[axis.tensor] = select(state[axis.tensor], axis, group.size, kept)
    narrow.load_state_dict(state)  # refuses any tensor of another shape


def channel_importance(state: State, group: ChannelGroup, criterion: Literal["scale", "norm"]) -> Tensor:
    """One number per channel of `group`, float ``[size]``; the larger, the more it matters.

    Scales are means over classes, of each batch norm relative to its own mean. Norms are L2, over all that makes the
    channel.
    """
    if criterion == "scale" and group.scales:
        tables = [state[name].abs().reshape(-1, group.size).mean(0) for name in group.scales]
        return torch.stack([table / table.mean().clamp_min(1e-12) for table in tables]).mean(0)
    squares = [_by_channel(state[axis.tensor], axis, group.size).square().sum((0, 2, 3)) for axis in group.makers]
    return torch.stack(squares).sum(0).sqrt()


def select(tensor: Tensor, axis: Axis, size: int, kept: Tensor) -> Tensor:
    """`tensor` with the channels `kept`, int64 ``[k]``, of `size` along `axis`."""
    moved = tensor.movedim(axis.dim, 0)
    rest = moved.shape[1:]
    chosen = moved.reshape(-1, size, axis.block, *rest)[:, kept]
    return chosen.reshape(-1, *rest).movedim(0, axis.dim).contiguous()


def _by_channel(tensor: Tensor, axis: Axis, size: int) -> Tensor:
    """``[repeats, size, block, everything else]``."""
    moved = tensor.movedim(axis.dim, 0)
    return moved.reshape(-1, size, axis.block, moved[0].numel())
