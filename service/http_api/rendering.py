"""A sample result as the bytes of an HTTP answer. Runs in the encoder pool, never on the event loop."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from runtime.images import encode_npy, encode_npz, encode_zip
from runtime.sequences import FileFormat
from service.engine import SampleResult
from service.errors import InvalidRequest
from service.http_api.negotiation import Answer, Layout
from service.http_api.raw_headers import Pairs
from service.sample_files import all_in_one, encoded_row, file_format

_QUICK_ARRAY, _QUICK_IMAGE = 64 << 10, 1 << 10


def check_layout(layout: Layout | None, n: int, answer: Answer) -> Layout:
    """The layout that fits the answer: several images in one image file make a grid.

    Raises:
        InvalidRequest: `layout` asks for the impossible.
    """
    one_file = answer.media_type.startswith("image/")
    if layout is None:
        return "grid" if one_file and n > 1 else "images"
    if layout == "images" and one_file and n > 1:
        raise InvalidRequest.field(
            "layout", layout, f"grid for {n} images in one {answer.media_type}, or Accept: application/zip"
        )
    return layout


def is_quick(answer: Answer, size: int) -> bool:
    """Whether `size` bytes of pixels are encoded sooner than another thread would begin with it."""
    arrays = answer.media_type in ("application/octet-stream", "application/x-npy")
    return size <= (_QUICK_ARRAY if arrays else _QUICK_IMAGE)


def render(result: SampleResult, answer: Answer, layout: Layout) -> Response:
    """Encode `result`. Arrays are uint8 NHWC, of sequences NTHWC; a grid is one image or sequence.

    Raises:
        InvalidRequest: a file format that the model's images cannot take.
    """
    media_type = answer.media_type
    chosen = file_format(answer.file_format, result.model.manifest)
    single = layout == "grid"
    images = all_in_one(result.images, chosen) if single else result.images
    shape: Pairs = ()
    if media_type == "application/json":
        content = _json(result, images, chosen, single=single)
    elif media_type == "application/zip":
        content = encode_zip(
            (
                _file_name(result, row, chosen, single=single),
                encoded_row(result, row, images[row], chosen),
            )
            for row in range(len(images))
        )
    elif media_type == "application/x-npy":
        content = encode_npy(images)
    elif media_type == "application/x-npz":
        arrays: dict[str, NDArray[np.generic]] = {"images": images}
        if result.seeds is not None:
            arrays["seeds"] = result.seeds
        if result.labels is not None:
            arrays["labels"] = result.labels
        content = encode_npz(arrays)
    elif media_type == "application/octet-stream":
        shape = ((b"x-latentd-shape", ",".join(map(str, images.shape)).encode()), (b"x-latentd-dtype", b"uint8"))
        content = images.tobytes()
    else:
        content = encoded_row(result, 0, images[0], chosen)
    return _Whole(content, media_type, (*_identity(result), *shape))


class _Whole(Response):
    """An answer whose headers are bytes already; the framework's own takes longer than most pixels take to copy."""

    def __init__(self, content: bytes, media_type: str, headers: Pairs) -> None:
        self.status_code, self.background, self.body = 200, None, content
        length = b"%d" % len(content)
        self.raw_headers = [(b"content-type", media_type.encode()), (b"content-length", length), *headers]


def identity_headers(result: SampleResult) -> dict[str, str]:
    """What names the images of an answer, for those who read no JSON."""
    return {name.decode(): value.decode() for name, value in _identity(result)}


def _identity(result: SampleResult) -> Iterator[tuple[bytes, bytes]]:
    yield b"x-latentd-model", result.model.reference.encode()
    yield b"x-latentd-precision", result.precision.encode()
    if result.seeds is not None:
        yield b"x-latentd-seed", b"%d" % int(result.seeds[0])


def image_item(
    result: SampleResult, row: int, pixels: NDArray[np.uint8], chosen: FileFormat, *, single: bool = False
) -> dict[str, Any]:
    """One image of a JSON answer: its seed, its label (a grid has none) and the file."""
    return {
        "seed": result.seed(row),
        "label": None if single else result.label(row),
        "b64_json": base64.b64encode(encoded_row(result, row, pixels, chosen)).decode(),
    }


def _json(result: SampleResult, images: NDArray[np.uint8], chosen: FileFormat, *, single: bool) -> bytes:
    data = [image_item(result, row, pixels, chosen, single=single) for row, pixels in enumerate(images)]
    return json.dumps(
        {
            "model": result.model.name,
            "version": result.model.version,
            "precision": result.precision,
            "created": result.created,
            "data": data,
        }
    ).encode()


def _file_name(result: SampleResult, row: int, chosen: FileFormat, *, single: bool) -> str:
    if single:
        return f"grid.{chosen}"
    seed = f"seed{result.seed(row)}" if result.seeds is not None else f"latent{row}"
    label = result.label(row)
    return f"{row:06d}_{seed}{'' if label is None else f'_label{label}'}.{chosen}"
