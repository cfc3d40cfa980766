"""Sample grids with fixed seeds, enlarged so that a person sees the pixels: one row per class, or one film strip
below the other."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from runtime.images import encode_image, make_grid
from runtime.latents import latents_from_seeds
from runtime.sequences import make_film_strip
from trainer.ema import generate
from trainer.networks.base import Generator

COLUMNS = 16
_MAX_ROWS = 20
_MIN_SIDE = 48
_STRIPS = 10
_GAP = 8

Sampler = Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.uint8]]
"""Latents float32 ``[n, dim]`` and labels int64 ``[n]`` to images uint8 ``[n, …]``."""


def grid_seeds(
    classes: int, columns: int = COLUMNS, *, frames: int = 1
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Row seeds 0, 1, … and labels of a grid: `columns` images of each class, at most 20 classes; of sequences
    one each of 10."""
    if frames > 1:
        strips = np.arange(_STRIPS)
        return strips.astype(np.uint64), strips % classes
    rows = min(classes, _MAX_ROWS) if classes > 1 else 4
    labels = np.repeat(np.arange(rows) if classes > 1 else np.zeros(rows, np.int64), columns)
    return np.arange(rows * columns, dtype=np.uint64), labels.astype(np.int64)


def encode_grid(images: NDArray[np.uint8], columns: int = COLUMNS) -> bytes:
    """A PNG with `columns` images (or all frames of one sequence) per row, each side at least 48 pixels, and room
    between neighbours."""
    scale = max(1, -(-_MIN_SIDE // images.shape[-3]))
    if images.ndim == 5:
        return encode_image(make_film_strip(images, scale=scale, gap=_GAP))
    return encode_image(make_grid(images, columns, scale=scale, gap=_GAP))


def draw_grid(generator: Generator, classes: int) -> bytes:
    """The PNG of what `generator` makes of the fixed seeds."""
    seeds, labels = grid_seeds(classes if generator.conditional else 1, frames=generator.frames)
    latents = torch.from_numpy(latents_from_seeds(seeds, generator.latent_dim))
    return encode_grid(to_uint8(generate(generator, latents, torch.from_numpy(labels))).numpy())


def sample_grid(sampler: Sampler, dim: int, classes: int, frames: int) -> bytes:
    """The PNG of what a graph makes of the fixed seeds; 0 `classes`: it takes no labels."""
    seeds, labels = grid_seeds(max(1, classes), frames=frames)
    return encode_grid(sampler(latents_from_seeds(seeds, dim), labels))


def to_uint8(images: torch.Tensor) -> torch.Tensor:
    """Images in −1 … 1, float ``[…, C, H, W]``, to uint8 ``[…, H, W, C]``, rounded half to even."""
    return ((images + 1) * 127.5).round().clamp(0, 255).movedim(-3, -1).to(torch.uint8).contiguous()
