"""An exponential moving average of the generator, which is the one that is packaged."""

import copy
from typing import TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from trainer.config import Config
from trainer.networks.base import Generator

G = TypeVar("G", bound=Generator)


class EmaConfig(Config):
    """Averaging of the generator's weights (Yazıcı et al. 2019)."""

    decay: float = Field(default=0.999, ge=0, lt=1)
    """Share of the average kept at each generator step."""

    statistics_images: int = Field(default=10_000, ge=256)
    """Generated images over which batch-norm statistics are computed for the averaged weights."""

    def decay_at(self, step: int) -> float:
        """Decay after `step` steps: (1 + step) / (10 + step) up to `decay`, so that the start is forgotten."""
        return min(self.decay, (1 + step) / (10 + step))


@torch.no_grad()
def update_average(average: nn.Module, current: nn.Module, decay: float) -> None:
    """average ← decay · average + (1 − decay) · current, parameter by parameter."""
    torch._foreach_lerp_(list(average.parameters()), list(current.parameters()), 1 - decay)


@torch.no_grad()
def with_statistics(generator: G, *, classes: int, images: int, seed: int = 0, batch: int = 250) -> G:
    """A copy in eval mode whose batch-norm statistics are the means over freshly generated images (of sequences:
    frames).

    The running statistics kept while training belong to weights that are gone. Draws from a generator of its
    own, so training goes on as if nothing had happened.
    """
    result = copy.deepcopy(generator).float().train()
    norms = [module for module in result.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative mean over all batches
    device = next(result.parameters()).device
    random = torch.Generator().manual_seed(seed)
    batch = max(8, batch // result.frames)
    for _ in range(-(-images // (batch * result.frames)) if norms else 0):
        latents = torch.randn(batch, result.latent_dim, generator=random)
        labels = torch.randint(0, classes, (batch,), generator=random)
        result(latents.to(device), labels.to(device))
    return result.eval()


@torch.no_grad()
def generate(generator: Generator, latents: Tensor, labels: Tensor, batch: int = 500) -> Tensor:
    """Images in −1 … 1, float ``[n, C, H, W]`` on the CPU, from latents and labels on the CPU; sequences are
    ``[n, T, C, H, W]``. Labels are passed over where the generator takes none."""
    if not generator.conditional:
        labels = torch.zeros_like(labels)
    device = next(generator.parameters()).device
    batch = max(8, batch // generator.frames)
    chunks = zip(torch.split(latents, batch), torch.split(labels, batch), strict=True)
    return torch.cat([generator(z.to(device), y.to(device)).float().cpu() for z, y in chunks])
