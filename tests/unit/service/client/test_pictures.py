"""Samples as one file to look at."""

import io

import numpy as np
import pytest
from PIL import Image

from service.client.pictures import encode_picture

STILLS = np.zeros((4, 8, 8, 1), np.uint8)
SEQUENCES = np.random.default_rng(0).integers(0, 256, (4, 5, 8, 8, 1), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_sequences_move_side_by_side(suffix: str) -> None:
    with Image.open(io.BytesIO(encode_picture(SEQUENCES, suffix, None, 2, {}))) as file:
        assert (file.size, getattr(file, "n_frames", 1)) == ((34, 34), 5)


def test_sequences_are_film_strips_where_nothing_moves() -> None:
    with Image.open(io.BytesIO(encode_picture(SEQUENCES, ".png", 2, 1, {"seed": "3"}))) as file:
        assert file.size == (5 * 8 + 4, 4 * 8 + 3)
        assert file.info["seed"] == "3"


def test_small_images_are_enlarged_to_64_pixels() -> None:
    with Image.open(io.BytesIO(encode_picture(STILLS[:1], ".png", None, None, {}))) as file:
        assert file.size == (64, 64)


def test_still_images_have_no_gif() -> None:
    with pytest.raises(ValueError, match="still images"):
        encode_picture(STILLS, ".gif", None, None, {})
