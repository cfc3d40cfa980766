"""Rows to image files, for the formats that hold such."""

from typing import get_args

from runtime.images import ImageFormat, Pixels
from runtime.manifest import Output
from runtime.sequences import FileFormat, encode_file
from runtime.synthesis.errors import SynthesisError

SUFFIX: dict[FileFormat, str] = {"png": "png", "jpeg": "jpg", "webp": "webp", "gif": "gif"}


def choose_image_format(asked: FileFormat | None, output: Output) -> FileFormat:
    """`asked`, or the lossless default: PNG, and WebP animations for sequences.

    Raises:
        SynthesisError: one file of that format cannot hold a row.
    """
    moving = output.frames > 1
    if asked is None:
        return "webp" if moving else "png"
    if moving and asked not in ("webp", "gif"):
        raise SynthesisError(
            f"--image-format: got {asked}, which holds one image, and rows are sequences of {output.frames} frames; "
            "allowed: webp, gif, or --format npz for exact frames"
        )
    if not moving and asked == "gif":
        raise SynthesisError(
            f"--image-format: got gif, which is for sequences; allowed: {', '.join(get_args(ImageFormat))}"
        )
    return asked


def file_name(seed: int, image_format: FileFormat) -> str:
    """The name of a row's file: its seed, which with the package is all it takes to make it again."""
    return f"{seed:016d}.{SUFFIX[image_format]}"


def encode_row(pixels: Pixels, image_format: FileFormat) -> bytes:
    """One row, uint8 ``[H, W, C]`` or ``[T, H, W, C]``, as one file."""
    return encode_file(pixels, image_format)
