"""Adapters: few numbers that change what a generator draws, while the rest of it stays as it is."""

import copy
from typing import Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from trainer.errors import ConfigError
from trainer.networks.conditional_batch_norm import ConditionalBatchNorm2d

Adapter = Literal["none", "norm", "low-rank"]
"""See `FineTuneConfig.adapter`."""

G = TypeVar("G", bound=nn.Module)

_MATRICES = (nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, ConditionalBatchNorm2d)


class LowRank(nn.Module):
    """W + B A, kernels read as matrices ``[out, in · height · width]`` (Hu et al. 2021, "LoRA: low-rank adaptation of
    large language models", eq. 3, with scale 1).

    B begins at zero, so that nothing has changed before the first step. Computed in fp32 whatever the precision of the
    pass, as the merged weight is.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        rank = min(rank, rows, columns)
        self.down = nn.Parameter(torch.randn(rank, columns) / columns**0.5)
        self.up = nn.Parameter(torch.zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """A weight of any shape to one of the same shape."""
        with torch.autocast(weight.device.type, enabled=False):
            return weight + (self.up @ self.down).view_as(weight)


def adapt(generator: nn.Module, adapter: Adapter, rank: int) -> None:
    """Leave only what `adapter` names to be trained.

    With `norm` these are the scales and shifts of normalization and the rows of classes (Noguchi and Harada 2019,
    "Image generation from small datasets via batch statistics adaptation", section 3.1); with `low-rank`, beside
    them, a `LowRank` before each convolution and linear layer.

    Raises:
        ConfigError: the generator has nothing of the kind.
    """
    if adapter == "none":
        return
    generator.requires_grad_(False)
    for module in list(generator.modules()):
        if isinstance(module, (*_NORMS, nn.Embedding)):
            module.requires_grad_(True)
        elif adapter == "low-rank" and isinstance(module, _MATRICES):
            parametrize.register_parametrization(module, "weight", LowRank(module.weight, rank))
    if not any(parameter.requires_grad for parameter in generator.parameters()):
        raise ConfigError(
            f"adapter: {adapter!r} finds nothing to train in a {type(generator).__name__}: it has neither norms nor "
            "classes; low-rank and none are allowed"
        )


def merged(generator: G) -> G:
    """A copy without adapters that draws the same."""
    result = copy.deepcopy(generator)
    for module in list(result.modules()):
        if parametrize.is_parametrized(module, "weight"):
            weight: Tensor = module.weight  # type: ignore[assignment]
            # As `parametrize.remove_parametrizations` does, which would also take the weight from the original: a copy
            # shares the class that was made for it.
            del module.parametrizations
            module.__class__ = type(module).__bases__[0]
            module.register_parameter("weight", nn.Parameter(weight.detach().clone()))
    return result
