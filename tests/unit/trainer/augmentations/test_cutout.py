"""Cutout: where the square lies, and what it leaves."""

import pytest
import torch

from trainer.augmentations.cutout import CutoutConfig, cut_out


def test_rectangles_by_hand() -> None:
    images = torch.ones(2, 1, 3, 4)
    cut = cut_out(images, torch.tensor([1, -1]), torch.tensor([2, 0]), height=2, width=2)
    assert cut[0, 0].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert cut[1, 0].tolist() == [[0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]


@pytest.mark.parametrize("side", [7, 8])
def test_every_pixel_is_hidden_at_times_and_never_all(side: int) -> None:
    torch.manual_seed(0)
    cut = CutoutConfig(ratio=0.5).apply(torch.ones(2000, 3, side, side))
    hidden = (cut == 0).float().mean((0, 1))
    assert (hidden > 0).all()
    assert (cut != 0).flatten(1).any(1).all()
    assert hidden[side // 2, side // 2].item() > hidden[0, 0].item()
    assert (cut == 0).flatten(1).any(1).all()


def test_gradients_pass_where_nothing_is_hidden() -> None:
    images = torch.ones(4, 1, 8, 8, requires_grad=True)
    cut = CutoutConfig().apply(images)
    cut.sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert torch.equal(images.grad, cut.detach())
