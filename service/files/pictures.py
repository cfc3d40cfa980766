"""Is this an image that can be trained on? Sizes are looked at before anything is decoded."""

import io
import warnings
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm"})
_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
_GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B"})


class BadPicture(ValueError):
    """The text says what is wrong."""


@dataclass(frozen=True)
class Seen:
    """Size in pixels and kind of an image."""

    width: int
    height: int
    grey: bool


def look_at(content: bytes, most_side: int) -> Seen:
    """Decode an image to its end.

    Raises:
        BadPicture: not an image of a known format, damaged, cut short, or with a side above `most_side` pixels.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                if max(image.size) > most_side:
                    raise BadPicture(f"{image.width}x{image.height} pixels; allowed: sides up to {most_side}")
                image.load()
                return Seen(image.width, image.height, image.mode in _GREY_MODES)
    except UnidentifiedImageError as error:
        raise BadPicture("not an image of a known format") from error
    except Image.DecompressionBombError as error:  # raised before its sides can be asked for
        raise BadPicture(f"more pixels than any image here may have; allowed: sides up to {most_side}") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        if isinstance(error, BadPicture):
            raise
        raise BadPicture(f"cannot be decoded: {error}") from error
