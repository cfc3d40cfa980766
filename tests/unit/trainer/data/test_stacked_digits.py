"""Stacked digits: what is in which channel, which class that is, and from which part the digits come."""

import numpy as np
import pytest

from trainer.data import DataConfig, LabelledImages, open_data
from trainer.data.images import DataSplit
from trainer.data.stacked_digits import StackedDigitsConfig, stacked_digits
from trainer.errors import DataError

SMALL = StackedDigitsConfig(images=300)


def test_red_and_green_are_digits_and_their_classes_make_the_class() -> None:
    digits = open_data(DataConfig())
    stacked = stacked_digits(digits, SMALL)
    assert stacked.train.images.shape == (300, 8, 8, 3)
    assert stacked.held_out.images.shape == (60, 8, 8, 3)
    assert stacked.train.spec.classes == 100
    assert stacked.train.class_names[:11] == (*(f"0-{green}" for green in range(10)), "1-0")
    for ours, parts in ((stacked.train, digits.train), (stacked.held_out, digits.held_out)):
        assert not ours.images[..., 2].any()
        classes = {image.tobytes(): label for image, label in zip(parts.images, parts.labels, strict=True)}
        for image, label in zip(ours.images, ours.labels, strict=True):
            red, green = (classes[np.ascontiguousarray(image[..., channel]).tobytes()] for channel in (0, 1))
            assert label == 10 * red + green


def test_all_pairs_are_about_as_frequent() -> None:
    labels = stacked_digits(open_data(DataConfig()), StackedDigitsConfig(images=10_000)).train.labels
    counts = np.bincount(labels, minlength=100)
    assert counts.min() > 50
    assert counts.max() < 160


def test_the_config_decides_every_pixel_and_the_fingerprint() -> None:
    def fingerprint(**stacked: int) -> str:
        return open_data(DataConfig(stacked=SMALL.model_copy(update=stacked))).fingerprint()

    assert fingerprint() == fingerprint()
    assert len({fingerprint(), fingerprint(seed=1), fingerprint(images=301)}) == 3


def test_digits_without_classes_are_stacked_without() -> None:
    digits = open_data(DataConfig())
    bare = DataSplit("bare", digits.train.unlabelled(), digits.held_out.unlabelled())
    stacked = stacked_digits(bare, SMALL).train
    assert stacked.class_names == ()
    assert not stacked.labels.any()
    assert np.array_equal(stacked.images, stacked_digits(digits, SMALL).train.images)


def test_what_cannot_be_stacked_is_refused_with_advice() -> None:
    coloured = LabelledImages(np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4, np.int64), ())
    with pytest.raises(DataError, match="only grey images"):
        stacked_digits(DataSplit("photos", coloured, coloured), SMALL)
    with pytest.raises(DataError, match=r"data\.stacked\.images=2796202"):
        stacked_digits(open_data(DataConfig(size=16)), StackedDigitsConfig(images=10_000_000))


def test_images_are_stacked_or_moving_and_not_both() -> None:
    with pytest.raises(ValueError, match="moving and stacked"):
        DataConfig.model_validate({"moving": {}, "stacked": {}})
