"""Composed sequences: deterministic, in bounds, and moving as they should."""

import numpy as np
import pytest

from trainer.data import DataConfig, open_data
from trainer.data.moving_digits import MovingDigitsConfig, bounce, moving_digits
from trainer.errors import DataError

SMALL = MovingDigitsConfig(sequences=40)


def test_bounce_is_a_triangle_wave() -> None:
    places = bounce(np.array([0.0, 3.0]), np.array([1.0, -2.0]), 6, 3)
    assert places.tolist() == [[0, 1, 2, 3, 2, 1], [3, 1, 1, 3, 1, 1]]
    assert bounce(np.zeros(1), np.ones(1), 3, 0).tolist() == [[0, 0, 0]]


def test_sequences_have_the_stated_size_and_their_digit_as_class() -> None:
    split = moving_digits(open_data(DataConfig()), SMALL)
    assert split.train.images.shape == (40, 16, 20, 20, 1)
    assert split.train.images.nbytes == 40 * 16 * 20 * 20
    assert split.held_out.images.shape == (8, 16, 20, 20, 1)
    assert split.train.spec.frames == 16
    assert split.train.class_names == tuple("0123456789")
    assert len(np.unique(split.train.labels)) > 5


def test_the_digit_keeps_its_shape_and_moves_by_its_speed() -> None:
    config = SMALL.model_copy(update={"slowest": 2.0, "fastest": 2.0})
    frames = moving_digits(open_data(DataConfig()), config).train.images
    brightness = frames.astype(np.int64).sum((2, 3, 4))
    assert np.array_equal(brightness, brightness[:, :1].repeat(16, axis=1))
    steps = np.abs(np.diff(frames.astype(np.int64), axis=1)).sum((2, 3, 4))
    assert (steps > 0).mean() > 0.95


def test_two_digits_have_no_class() -> None:
    split = moving_digits(open_data(DataConfig()), SMALL.model_copy(update={"digits": 2}))
    assert split.train.class_names == ()
    one = moving_digits(open_data(DataConfig()), SMALL)
    assert split.train.images.mean() > 1.5 * one.train.images.mean()


def test_the_config_decides_every_pixel_and_the_fingerprint() -> None:
    def fingerprint(**moving: float) -> str:
        return open_data(DataConfig(moving=SMALL.model_copy(update=moving))).fingerprint()

    assert fingerprint() == fingerprint()
    assert len({fingerprint(), fingerprint(seed=1), fingerprint(fastest=3.0), fingerprint(frames=8)}) == 4


def test_larger_digits_are_resized_before_they_move_and_smaller_ones_are_not() -> None:
    def brightness(size: int | None) -> float:
        config = SMALL.model_copy(update={"digit_size": size})
        return float(moving_digits(open_data(DataConfig()), config).train.images.mean())

    assert brightness(12) == brightness(None)
    assert 0.3 < brightness(5) / brightness(None) < 0.5  # 25 pixels of 64


@pytest.mark.parametrize(
    ("changes", "advice"), [({"canvas": 12}, "digit_size=6"), ({"sequences": 1_000_000}, "sequences=335544")]
)
def test_what_does_not_fit_is_refused_with_advice(changes: dict[str, int], advice: str) -> None:
    with pytest.raises(DataError, match=f"data.moving.{advice}"):
        moving_digits(open_data(DataConfig(size=16)), SMALL.model_copy(update=changes))
