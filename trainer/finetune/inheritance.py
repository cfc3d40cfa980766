"""Weights from one network to another whose classes are others."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from trainer.errors import ConfigError
from trainer.networks.conditional_batch_norm import ConditionalBatchNorm2d

State = dict[str, Any]
"""A state dict."""

_OF_EMBEDDINGS = ("weight", "parametrizations.weight.original", "parametrizations.weight.0.left")
_OF_NORMS = ("scale", "shift")


def class_tables(module: nn.Module) -> set[str]:
    """Names, in the state dict of `module`, of the tensors with one row per class.

    These are embeddings, with whatever a spectral norm keeps of their rows, and conditional batch norms; no network of
    `trainer.networks` embeds anything but classes.
    """
    found = set[str]()
    for name, part in module.named_modules():
        entries: tuple[str, ...] = _OF_EMBEDDINGS if isinstance(part, nn.Embedding) else ()
        entries = _OF_NORMS if isinstance(part, ConditionalBatchNorm2d) else entries
        found |= {f"{name}.{entry}" for entry in entries}
    return found & module.state_dict().keys()


def with_rows(state: State, tables: set[str], sources: Sequence[int]) -> State:
    """`state` with the rows ``sources[0], sources[1], …`` in each of `tables`."""
    rows = torch.tensor(sources)
    return {name: value[rows].clone() if name in tables else value for name, value in state.items()}


def inherit(module: nn.Module, state: State, sources: Sequence[int], whose: str) -> None:
    """Load `state` into `module`, of its class tables the rows that `sources` names.

    Args:
        whose: what messages call the owner of `state`.

    Raises:
        ConfigError: the networks are others.
    """
    try:
        module.load_state_dict(with_rows(state, class_tables(module), sources))
    except (RuntimeError, IndexError) as error:  # torch names every tensor that differs
        reason = " ".join([line.strip() for line in str(error).splitlines()][:2])
        raise ConfigError(f"{whose}: its weights are not those of its recipe: {reason}") from error
