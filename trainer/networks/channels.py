"""Where the channels of a network lie in its tensors: what has to go together when one of them goes."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

_MULTIPLE = 4


@dataclass(frozen=True)
class Axis:
    """A dimension of a named tensor of the state dict along which the channels of a group lie.

    The index is ``(repeat · size + channel) · block + place``: an LSTM repeats its units for four gates, a linear layer
    whose outputs become a feature map has a block of height × width outputs for each channel.
    """

    tensor: str
    dim: int
    block: int = 1


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are pruned together.

    Attributes:
        size: how many there are.
        makers: weights and biases that compute them; their norm is a channel's norm.
        scales: batch-norm scales ``[size]`` or, per class, ``[classes, size]``.
        others: everything else that has a place for each: statistics, and the weights of what reads them.
    """

    size: int
    makers: tuple[Axis, ...]
    scales: tuple[str, ...] = ()
    others: tuple[Axis, ...] = ()

    def inside(self, prefix: str) -> "ChannelGroup":
        """The same group where the network is a part of another, whose tensors have names with `prefix`."""

        def axes(of: Iterable[Axis]) -> tuple[Axis, ...]:
            return tuple(replace(axis, tensor=prefix + axis.tensor) for axis in of)

        scales = tuple(prefix + scale for scale in self.scales)
        return ChannelGroup(self.size, axes(self.makers), scales, axes(self.others))


def layer_axes(layer: str, *, block: int = 1, transposed: bool = False, bias: bool = True) -> tuple[Axis, ...]:
    """The outputs of a linear layer or a convolution."""
    weight = Axis(f"{layer}.weight", 1 if transposed else 0, block)
    return (weight, Axis(f"{layer}.bias", 0, block)) if bias else (weight,)


def norm_axes(norm: str) -> tuple[Axis, ...]:
    """Channels of a `ConditionalBatchNorm2d`."""
    tables = [Axis(f"{norm}.{table}", 1) for table in ("scale", "shift")]
    statistics = [Axis(f"{norm}.normalize.{name}", 0) for name in ("running_mean", "running_var")]
    return (*tables, *statistics)


def fewer(width: int, keep: float) -> int:
    """About the share `keep` of `width` channels: a multiple of 4, which processors compute whole, and at least 4."""
    return min(width, max(_MULTIPLE, round(width * keep / _MULTIPLE) * _MULTIPLE))
