"""Two random digits in one colour image, the first in its red channel and the second in its green one: as many modes
as there are pairs of classes, for counting which of them a generator has found.

After the "Stacked MNIST" of Metz et al. 2017 ("Unrolled generative adversarial networks", section 3.3.1), which
stacks three digits for 1000 modes and is the usual test of mode coverage since (Srivastava et al. 2017, "VEEGAN"; Lin
et al. 2018, "PacGAN"). Two digits make a tenth of the modes.
"""

import numpy as np
from pydantic import Field

from trainer.config import Config
from trainer.data.images import DataSplit, LabelledImages
from trainer.errors import DataError

MAX_BYTES = 2 << 30
CHANNELS = 3
DIGITS = 2
"""Channels with a digit: red and green; blue is black."""


class StackedDigitsConfig(Config):
    """How many images are composed; `images` × height × width × 3 is their size in bytes."""

    images: int = Field(default=50_000, ge=4, le=10_000_000)
    """Training images, made of training digits alone; a fifth as many are held out, of held-out digits."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    """Start of the random choice of digits, apart from the training seed."""


def stacked_digits(split: DataSplit, config: StackedDigitsConfig) -> DataSplit:
    """Compose colour images from the grey ones of `split`; the same config and images, the same pixels.

    The class of an image is C·a + b for a red digit of class a and a green one of class b, of C classes; digits
    without classes give images without.

    Raises:
        DataError: the images of `split` are coloured, or what is composed of them does not fit in memory.
    """
    spec = split.train.spec
    if spec.channels > 1 or spec.frames > 1:
        raise DataError(f"{split.source}: only grey images can be stacked (data.stacked)")
    size = config.images * spec.height * spec.width * CHANNELS
    if size > MAX_BYTES:
        raise DataError(
            f"{split.source}: {config.images:,} stacked images are {size / 2**30:.1f} GiB, allowed are "
            f"{MAX_BYTES >> 30}; --set data.stacked.images={config.images * MAX_BYTES // size}"
        )
    return DataSplit(
        f"{split.source}, stacked",
        _compose(split.train, config.images, np.random.default_rng([config.seed, 0])),
        _compose(split.held_out, max(2, config.images // 5), np.random.default_rng([config.seed, 1])),
    )


def _compose(digits: LabelledImages, n: int, random: np.random.Generator) -> LabelledImages:
    _, height, width, _ = digits.images.shape
    images = np.zeros((n, height, width, CHANNELS), np.uint8)
    labels = np.zeros(n, np.int64)
    for channel in range(DIGITS):
        chosen = random.integers(len(digits), size=n)
        images[..., channel] = digits.images[chosen, ..., 0]
        labels = labels * digits.spec.classes + digits.labels[chosen]
    names = tuple(f"{red}-{green}" for red in digits.class_names for green in digits.class_names)
    return LabelledImages(images, labels, names)
