"""The images of the study of scarcity: a few real ones of each class, and another set of digits in their manner."""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from trainer.augmentations.warp import WarpConfig
from trainer.data import DataSplit, LabelledImages
from trainer.data.digits import read_digits
from trainer.errors import DataError

CLASSIC = WarpConfig()
"""The classic augmentation of every arm that has one."""

_CHECKED_PER_CLASS = 50
_MARGIN = 4 / 28  # MNIST's digits fill 20 of 28 pixels and are centred by mass (LeCun et al. 1998)
_CONTRAST = 1.5  # magnified strokes are blurred, these are crisp
_CHUNK = 1000


@dataclass(frozen=True)
class FewImages:
    """What one cell of the study knows of the world.

    Attributes:
        real: the only real images, equally many of each class.
        checked: other training images, for the evaluation in a generator's manifest; nothing is trained on them.
    """

    real: LabelledImages
    checked: LabelledImages


def draw_few(data: DataSplit, per_class: int, seed: int) -> FewImages:
    """`per_class` training images of each class at random; those of fewer images are among those of more.

    Raises:
        DataError: there are no classes, or one has too few images.
    """
    train = data.train
    if len(train.class_names) < 2:
        raise DataError(f"{data.source}: has no classes; the study of scarcity compares classifiers")
    random = np.random.default_rng(seed)
    few, others = [], []
    for label, name in enumerate(train.class_names):
        rows = random.permutation(np.flatnonzero(train.labels == label))
        if len(rows) <= per_class:
            raise DataError(f"{data.source}: {name!r} has {len(rows)} images, more than {per_class} are needed")
        few.append(rows[:per_class])
        others.append(rows[::-1][: min(_CHECKED_PER_CLASS, len(rows) - per_class)])
    return FewImages(train.subset(np.concatenate(few)), train.subset(np.concatenate(others)))


def varied(images: LabelledImages, copies: int, seed: int) -> LabelledImages:
    """`copies` of each image, each changed by the classic augmentation in a way of its own."""
    rows = np.tile(np.arange(len(images)), copies)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = [
            to_bytes(CLASSIC.apply(to_input(images.images[rows[start : start + _CHUNK]])))
            for start in range(0, len(rows), _CHUNK)
        ]
    return LabelledImages(np.concatenate(parts), images.labels[rows], images.class_names)


def joined(left: LabelledImages, right: LabelledImages) -> LabelledImages:
    """Both, of the same classes and size."""
    images, labels = np.concatenate([left.images, right.images]), np.concatenate([left.labels, right.labels])
    return LabelledImages(images, labels, left.class_names)


def other_digits(like: LabelledImages) -> LabelledImages | None:
    """scikit-learn's digits at the size and place of MNIST's; None where `like` does not hold grey digits 0 … 9."""
    digits = read_digits()
    spec = like.spec
    if like.class_names != digits.class_names or spec.channels != 1 or spec.height != spec.width or spec.frames > 1:
        return None
    side = spec.height
    margin = round(_MARGIN * side)
    small = torch.from_numpy(digits.images).permute(0, 3, 1, 2).float() / 255
    inner = F.interpolate(small, (side - 2 * margin,) * 2, mode="bicubic")
    inner = ((inner - 0.5) * _CONTRAST + 0.5).clamp(0, 1)
    placed = _centred(F.pad(inner, (margin,) * 4))
    return LabelledImages(to_bytes(placed * 2 - 1), digits.labels, digits.class_names)


def to_input(images: NDArray[np.uint8]) -> torch.Tensor:
    """uint8 ``[n, H, W, C]`` to −1 … 1, float ``[n, C, H, W]``."""
    return torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def to_bytes(images: torch.Tensor) -> NDArray[np.uint8]:
    """The reverse of `to_input`."""
    result: NDArray[np.uint8] = (
        images.add(1).mul(127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
    )
    return result


def _centred(images: torch.Tensor) -> torch.Tensor:
    """Images in 0 … 1, float ``[n, 1, H, W]``, each moved until its centre of mass is the middle."""
    n, _, height, width = images.shape
    mass = images.sum((1, 2, 3)).clamp_min(1e-6)
    across = (images.sum((1, 2)) * torch.linspace(-1, 1, width)).sum(1) / mass * (width - 1) / width
    down = (images.sum((1, 3)) * torch.linspace(-1, 1, height)).sum(1) / mass * (height - 1) / height
    still = torch.eye(2, 3).repeat(n, 1, 1)
    still[:, 0, 2], still[:, 1, 2] = across, down
    return F.grid_sample(images, F.affine_grid(still, [n, 1, height, width], align_corners=False), align_corners=False)
