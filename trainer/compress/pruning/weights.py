"""Unstructured pruning: the smallest weights of each layer become zero, and stay so."""

import zlib
from pathlib import Path

import torch
from torch import Tensor, nn

_LAYERS = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.LSTM)


class Zeros:
    """Which weights of a network are zero."""

    def __init__(self, network: nn.Module, ratio: float) -> None:
        """Set the share `ratio` of the weights of each layer, those of least magnitude, to zero."""
        self._masks: dict[str, Tensor] = {}
        for name, layer in network.named_modules():
            if isinstance(layer, _LAYERS):
                for part, weight in layer.named_parameters(recurse=False):
                    if weight.ndim > 1:
                        self._masks[f"{name}.{part}"] = _largest(weight.detach(), 1 - ratio)
        self.apply(network)

    @torch.no_grad()
    def apply(self, network: nn.Module) -> None:
        """Set them to zero again."""
        weights = dict(network.named_parameters())
        for name, mask in self._masks.items():
            weights[name].mul_(mask.to(weights[name].device))

    @property
    def share(self) -> float:
        """Of all weights of layers."""
        total = sum(mask.numel() for mask in self._masks.values())
        return 1 - sum(float(mask.sum()) for mask in self._masks.values()) / total


def honest_note(share: float, before: Path, after: Path) -> str:
    """What zeros save of graph `after`, in comparison with graph `before`, in a sentence."""
    packed = [len(zlib.compress(path.read_bytes())) for path in (before, after)]
    return (
        f"{share:.0%} of the weights are zero. The file is as large as before and no faster to run, since zeros are "
        f"stored and multiplied like any number; only a compressed download shrinks, from {packed[0] / 1024:,.0f} to "
        f"{packed[1] / 1024:,.0f} KiB. Without --unstructured whole channels go, which saves both"
    )


def _largest(weight: Tensor, keep: float) -> Tensor:
    """1 for the share `keep` of the weights of largest magnitude, else 0."""
    mask = torch.zeros_like(weight).reshape(-1)
    mask[weight.abs().reshape(-1).topk(max(1, round(weight.numel() * keep))).indices] = 1
    return mask.reshape(weight.shape)
