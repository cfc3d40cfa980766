"""Frames moved over black by parts of pixels, and seen from where their brightness is."""

import torch
from torch import Tensor


def shift(frames: Tensor, down: Tensor, right: Tensor, size: tuple[int, int]) -> Tensor:
    """Lay each frame in the middle of a black one (−1) of that size, larger or smaller, and move it by parts of
    pixels, with linear interpolation.

    Two matrix products, through which gradients reach both the pixels and the distances (the translation of
    Jaderberg et al. 2015, "Spatial transformer networks", eqs. 1 and 5).

    Args:
        frames: ``[n, T, C, h, w]`` in −1 … 1, or ``[n, 1, C, h, w]`` to move one picture in T ways.
        down: pixels downwards, ``[n, T]``.
        right: pixels to the right, ``[n, T]``.
        size: height H and width W of the result.

    Returns:
        float ``[n, T, C, H, W]``.
    """
    rows, columns = _interpolation(down, frames.shape[-2], size[0]), _interpolation(right, frames.shape[-1], size[1])
    return rows @ (frames.float() + 1) @ columns.transpose(-1, -2) - 1


def centres(images: Tensor) -> Tensor:
    """How far the centre of brightness is below and to the right of the middle, in pixels, without gradients: images
    in −1 … 1, float ``[n, T, C, H, W]``, to ``[n, T, 2]``; 0 where all is black."""
    light = images.detach().float().add(1).sum(2)
    total = light.sum((2, 3)).clamp_min(1e-3)
    down, right = (
        light.sum(other) @ (_places(light.shape[along], light.device) - (light.shape[along] - 1) / 2)
        for along, other in ((2, 3), (3, 2))
    )
    return torch.stack([down / total, right / total], dim=2)


def centred(images: Tensor, side: int) -> Tensor:
    """Windows around each frame's centre of brightness: ``[n, T, C, H, W]`` to ``[n, T, C, side, side]``."""
    down, right = centres(images).unbind(2)
    return shift(images, -down, -right, (side, side))


def _interpolation(distance: Tensor, side: int, wanted: int) -> Tensor:
    """``[n, T]`` to matrices ``[n, T, 1, wanted, side]`` that move a line of pixels by that much from the middle."""
    to, of = _places(wanted, distance.device), _places(side, distance.device)
    offset = to[:, None] - of - (wanted - side) // 2 - distance[:, :, None, None, None]
    return torch.relu(1 - offset.abs())


def _places(side: int, device: torch.device) -> Tensor:
    return torch.arange(side, dtype=torch.float32, device=device)
