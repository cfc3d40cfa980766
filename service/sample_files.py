"""One generated image or sequence as a file that says what it is. Used by every transport."""

import numpy as np
from numpy.typing import NDArray

from runtime.images import make_grid
from runtime.manifest import Manifest
from runtime.sequences import FileFormat, encode_file, make_film_strip, make_moving_grid
from service.engine import SampleResult
from service.errors import InvalidRequest


def file_format(asked: FileFormat | None, manifest: Manifest, *, field: str = "format") -> FileFormat:
    """The file format of an answer; a client that says nothing gets PNG, or GIF for sequences.

    Raises:
        InvalidRequest: GIF of a model that makes still images; `field` is where the client said so.
    """
    moving = manifest.output.frames > 1
    if asked == "gif" and not moving:
        raise InvalidRequest.field(field, "gif", f"png, jpeg, webp: {manifest.reference} makes still images")
    return asked or ("gif" if moving else "png")


def all_in_one(images: NDArray[np.uint8], chosen: FileFormat) -> NDArray[np.uint8]:
    """Every row in a single one, ``[1, …]``: a grid of stills, sequences running side by side, or, in a format
    without motion, their film strips one below the other."""
    if images.ndim == 4:
        return make_grid(images)[np.newaxis]
    return (make_moving_grid(images) if chosen in ("gif", "webp") else make_film_strip(images))[np.newaxis]


def encoded_row(result: SampleResult, row: int, pixels: NDArray[np.uint8], chosen: FileFormat) -> bytes:
    """One file; a PNG names its model, version, precision, seed and label in text chunks."""
    text = _text(result, row)
    if pixels.shape != result.images.shape[1:]:  # a grid begins with this row, but shows other labels too
        text.pop("label", None)
    return encode_file(pixels, chosen, text)


def _text(result: SampleResult, row: int) -> dict[str, str]:
    text = {"model": result.model.name, "version": str(result.model.version), "precision": result.precision}
    if result.seeds is not None:
        text["seed"] = str(result.seed(row))
    label = result.label(row)
    if label is not None:
        text["label"] = result.model.manifest.classes[label]
    return text
