"""Translation of images by whole pixels."""

import torch

from trainer.augmentations.translation import TranslationConfig, translate


def test_shifts_uncover_black() -> None:
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    moved = translate(image, torch.tensor([1]), torch.tensor([-1]), reach=1)
    assert moved[0, 0].tolist() == [[-1, -1, -1], [1, 2, -1], [4, 5, -1]]


def test_each_image_moves_on_its_own() -> None:
    images = torch.arange(18.0).reshape(2, 1, 3, 3)
    moved = translate(images, torch.tensor([0, 2]), torch.tensor([0, 0]), reach=2)
    assert torch.equal(moved[0], images[0])
    assert torch.equal(moved[1, :, 2], images[1, :, 0])


def test_gradients_pass() -> None:
    images = torch.zeros(1, 3, 4, 4, requires_grad=True)
    moved = translate(images, torch.tensor([1]), torch.tensor([0]), reach=1)
    (gradients,) = torch.autograd.grad(moved.sum(), images)
    assert gradients[0, 0].sum(1).tolist() == [4, 4, 4, 0]


def test_shifts_stay_within_the_ratio_and_use_all_of_it() -> None:
    images = torch.full((400, 1, 16, 16), -1.0)
    images[:, :, 8, 8] = 1
    moved = TranslationConfig(ratio=0.125).apply(images)
    rows = {int(index) for index in (moved == 1).nonzero()[:, 2]}
    columns = {int(index) for index in (moved == 1).nonzero()[:, 3]}
    assert rows == columns == set(range(6, 11))
