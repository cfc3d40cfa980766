"""Affine maps and smooth distortions."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from trainer.augmentations.warp import WarpConfig

_STILL: dict[str, Any] = {"rotation": 0, "scale": 0, "shear": 0, "shift": 0, "elastic": 0}


def bars(n: int) -> Tensor:
    """A white vertical bar on black, 21×21."""
    images = torch.full((n, 1, 21, 21), -1.0)
    images[:, :, 4:17, 9:12] = 1
    return images


def moments(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centre across and down, in pixels from the middle, and the turn of the long axis in degrees."""
    mass = (images[:, 0] + 1) / (images[:, 0] + 1).sum((1, 2), keepdim=True)
    place = torch.arange(21.0) - 10
    across, down = (mass.sum(1) * place).sum(1), (mass.sum(2) * place).sum(1)
    a, d = place[None, None] - across[:, None, None], place[None, :, None] - down[:, None, None]
    both, wide, high = (mass * a * d).sum((1, 2)), (mass * a * a).sum((1, 2)), (mass * d * d).sum((1, 2))
    return across, down, torch.rad2deg(0.5 * torch.atan2(2 * both, high - wide))


def test_nothing_to_change_changes_nothing() -> None:
    images = torch.rand(3, 3, 9, 12) * 2 - 1
    assert torch.allclose(WarpConfig(**_STILL).apply(images), images, atol=1e-5)


def test_shifts_go_both_ways_up_to_their_limit() -> None:
    across, down, _ = moments(WarpConfig(**_STILL | {"shift": 0.1}).apply(bars(300)))
    for moved in (across, down):
        assert -2.15 < moved.min() < -1.8
        assert 1.8 < moved.max() < 2.15


def test_turns_go_both_ways_up_to_their_limit_about_the_middle() -> None:
    across, down, turn = moments(WarpConfig(**_STILL | {"rotation": 20}).apply(bars(300)))
    assert max(across.abs().max(), down.abs().max()) < 0.05
    assert -20.5 < turn.min() < -18
    assert 18 < turn.max() < 20.5


def test_a_slant_moves_rows_sideways_and_leaves_them_as_high() -> None:
    slanted = WarpConfig(**_STILL | {"shear": 30}).apply(bars(300))
    rows = (slanted + 1).sum(3)[:, 0]
    assert torch.allclose(rows, (bars(1) + 1).sum(3)[:, 0].expand_as(rows), atol=1e-3)
    row = (slanted[:, 0, 16] + 1) / 2  # six pixels below the middle
    offset = (row * (torch.arange(21.0) - 10)).sum(1) / row.sum(1)
    assert offset.abs().max() == pytest.approx(6 * math.tan(math.radians(30)), abs=0.2)


def test_scales_are_shares_of_the_side() -> None:
    high = ((WarpConfig(**_STILL | {"scale": 0.2}).apply(bars(300))[:, 0, :, 10] + 1) / 2).sum(1)
    assert high.min() == pytest.approx(13 * 0.8, abs=0.4)
    assert high.max() == pytest.approx(13 * 1.2, abs=0.4)


def test_elastic_distortions_differ_from_place_to_place_and_image_to_image() -> None:
    changed = WarpConfig(**_STILL | {"elastic": 0.05}).apply(bars(2))
    assert not torch.allclose(changed[0], changed[1], atol=0.1)
    row = ((changed[0, 0, 5:16] + 1) * (torch.arange(21.0) - 10)).sum(1) / (changed[0, 0, 5:16] + 1).sum(1)
    assert row.std() > 0.05


def test_what_is_uncovered_is_black() -> None:
    changed = WarpConfig(**_STILL | {"shift": 0.5}).apply(torch.ones(50, 1, 8, 8))
    assert changed.min() == pytest.approx(-1)
    assert changed.max() == pytest.approx(1)


def test_gradients_pass() -> None:
    images = torch.zeros(2, 1, 8, 8, requires_grad=True)
    (gradients,) = torch.autograd.grad(WarpConfig().apply(images).sum(), images)
    assert gradients.abs().sum() > 50
