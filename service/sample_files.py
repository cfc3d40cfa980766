"""One generated image as a file that says what it is. Used by every transport."""

import numpy as np
from numpy.typing import NDArray

from runtime.images import ImageFormat, encode_image
from service.engine import SampleResult


def encoded_row(result: SampleResult, row: int, pixels: NDArray[np.uint8], image_format: ImageFormat) -> bytes:
    """One image file; a PNG names its model, version, precision, seed and label in text chunks."""
    text = _text(result, row)
    if pixels.shape != result.images.shape[1:]:  # a grid begins with this row, but shows other labels too
        text.pop("label", None)
    return encode_image(pixels, image_format, text)


def _text(result: SampleResult, row: int) -> dict[str, str]:
    text = {"model": result.model.name, "version": str(result.model.version), "precision": result.precision}
    if result.seeds is not None:
        text["seed"] = str(result.seed(row))
    label = result.label(row)
    if label is not None:
        text["label"] = result.model.manifest.classes[label]
    return text
