"""Shifts by whole and half pixels, centres of brightness, and the windows around them."""

import torch

from trainer.networks.shifts import centred, centres, shift


def test_a_shift_moves_whole_and_half_pixels_and_fills_with_black() -> None:
    picture = torch.full((1, 1, 1, 3, 4), -1.0)
    picture[..., 1, 1] = 1
    moved = shift(picture, torch.tensor([[1.0, 0.0, -9.0]]), torch.tensor([[2.0, 0.5, 0.0]]), (3, 4))
    assert moved.shape == (1, 3, 1, 3, 4)
    assert moved[0, 0, 0, 2, 3] == 1
    assert moved[0, 0].sum() == -10
    assert moved[0, 1, 0, 1].tolist() == [-1, 0, 0, -1]
    assert moved[0, 2].max() == -1


def test_a_smaller_picture_lies_in_the_middle_of_black_and_a_larger_one_is_cut() -> None:
    still = torch.zeros(1, 1)
    within = shift(torch.ones(1, 1, 1, 2, 2), still, still, (6, 4))
    assert within.sum() == 4 - 20
    assert within[..., 2:4, 1:3].min() == 1
    cut = shift(torch.arange(16.0).reshape(1, 1, 1, 4, 4), still, still, (2, 2))
    assert cut.flatten().tolist() == [5, 6, 9, 10]


def test_the_centre_of_brightness_is_measured_from_the_middle() -> None:
    images = torch.full((1, 2, 1, 4, 6), -1.0)
    assert centres(images).abs().max() == 0
    images[0, 1, 0, 3, 0] = 1
    assert centres(images)[0].tolist() == [[0, 0], [1.5, -2.5]]


def test_a_window_around_the_centre_shows_the_same_wherever_it_is() -> None:
    thing = torch.rand(3, 2)
    images = torch.full((1, 2, 1, 9, 8), -1.0)
    images[0, 0, 0, 1:4, 2:4] = images[0, 1, 0, 5:8, 5:7] = thing
    windows = centred(images, 5)
    assert windows.shape == (1, 2, 1, 5, 5)
    assert torch.allclose(windows[:, 0], windows[:, 1], atol=1e-5)
    assert torch.allclose((windows + 1).sum((2, 3, 4)), (images + 1).sum((2, 3, 4)), rtol=1e-5)
