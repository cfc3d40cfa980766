"""Sample grids with fixed seeds: one row per class, enlarged so that a person sees the pixels."""

import numpy as np
import torch
from numpy.typing import NDArray

from runtime.images import encode_image, make_grid
from runtime.latents import latents_from_seeds
from trainer.ema import generate
from trainer.networks.base import Generator

COLUMNS = 16
_MAX_ROWS = 20
_MIN_SIDE = 48
_GAP = 8


def grid_seeds(classes: int, columns: int = COLUMNS) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Row seeds 0, 1, … and labels of a grid: `columns` images of each class, at most 20 classes."""
    rows = min(classes, _MAX_ROWS) if classes > 1 else 4
    labels = np.repeat(np.arange(rows) if classes > 1 else np.zeros(rows, np.int64), columns)
    return np.arange(rows * columns, dtype=np.uint64), labels.astype(np.int64)


def encode_grid(images: NDArray[np.uint8], columns: int = COLUMNS) -> bytes:
    """A PNG with `columns` images per row, each side at least 48 pixels, and room between neighbours."""
    scale = max(1, -(-_MIN_SIDE // images.shape[1]))
    return encode_image(make_grid(images, columns, scale=scale, gap=_GAP))


def draw_grid(generator: Generator, classes: int) -> bytes:
    """The PNG of what `generator` makes of the fixed seeds."""
    seeds, labels = grid_seeds(classes)
    latents = torch.from_numpy(latents_from_seeds(seeds, generator.latent_dim))
    return encode_grid(to_uint8(generate(generator, latents, torch.from_numpy(labels))).numpy())


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Images in −1 … 1, float ``[n, C, H, W]``, to uint8 ``[n, H, W, C]``, rounded half to even."""
    return ((images + 1) * 127.5).round().clamp(0, 255).permute(0, 2, 3, 1).to(torch.uint8).contiguous()
