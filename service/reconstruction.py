"""Images in, images out, for models with an encoder: the model's own version of an image, and its neighbours."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runtime.encoder import Encoder
from runtime.latents import latents_from_seeds
from runtime.manifest import Manifest, Output
from service.engine import Engine, SampleResult
from service.errors import InvalidRequest, UnsupportedMedia
from service.sampling import Label, SampleRequest, build_rows
from service.served_models import ServedModel

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
_MOST_PIXELS = 4096 * 4096  # of all frames; checked before anything is decoded
_MOST_FRAMES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconstruction:
    """How to draw what an image was encoded to; None means that the client said nothing.

    Attributes:
        labels: for a model with classes, one for all images or one per image.
        strength: 0 is the image as the model sees it, 1 forgets it. Above 0 each image mixes the noise of its row
            seed into the latent z: ``sqrt(1 - s²) z + s ε(seed)``.
    """

    n: int = 1
    seed: int | None = None
    strength: float = 0.0
    labels: Sequence[Label] | None = None
    precision: str = "auto"
    priority: str = "interactive"
    timeout_s: float | None = None


async def find_encoder(engine: Engine, reference: str | None) -> ServedModel:
    """The model that `reference` means.

    Raises:
        InvalidRequest: it has no encoder; says which models have.
        ServiceError: as `Registry.get`.
    """
    model = await engine.registry.get(reference)
    if model.encoder is None:
        able = [each.name for each in engine.registry.served() if each.encoder is not None]
        allowed = ", ".join(able) or "models with an encoder, of which none is served here"
        raise InvalidRequest.field("model", model.manifest.reference, allowed)
    return model


async def reconstruct(
    engine: Engine, model: ServedModel, content: bytes, asked: Reconstruction
) -> tuple[SampleResult, list[int]]:
    """`asked.n` images near the one in the file `content`, and their row seeds.

    Raises:
        UnsupportedMedia: not an image file that is read here.
        InvalidRequest: too large, broken, or a field is wrong.
        ServiceError: as `Engine.sample`.
    """
    encoder = model.encoder
    assert encoder is not None, "find_encoder has seen to it"
    if not 0 <= asked.strength <= 1:
        raise InvalidRequest.field("strength", asked.strength, "a number from 0 to 1")
    limits = SampleRequest(n=asked.n, seed=asked.seed, labels=asked.labels)
    seeds = build_rows(limits, model.manifest, engine.max_images).seeds
    assert seeds is not None
    latents = await engine.off_loop(partial(_latents, encoder, content, seeds, asked.strength))
    request = SampleRequest(
        latents=latents,
        labels=asked.labels,
        precision=asked.precision,
        priority=asked.priority,
        timeout_s=asked.timeout_s,
    )
    return await engine.sample(request, model), seeds.tolist()


def _latents(encoder: Encoder, content: bytes, seeds: NDArray[np.uint64], strength: float) -> NDArray[np.float32]:
    """float32 ``[len(seeds), dim]``."""
    mean = encoder.run(read_image(content, encoder.manifest)[np.newaxis])
    if not np.isfinite(mean).all():
        raise InvalidRequest("image: the encoder finds no finite latent for it", param="image")
    noise = latents_from_seeds(seeds, mean.shape[1])
    latents: NDArray[np.float32] = (np.sqrt(1 - strength**2) * mean + strength * noise).astype(np.float32)
    return latents


def read_image(content: bytes, manifest: Manifest) -> NDArray[np.uint8]:
    """The image of a file as the model's own: its size (cropped to its shape, then resized), its channels, its frames.

    Returns:
        uint8 ``[H, W, C]``, of sequences ``[T, H, W, C]``.

    Raises:
        UnsupportedMedia: not PNG, JPEG, WebP or GIF.
        InvalidRequest: too many pixels, too few frames, or broken.
    """
    try:
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise InvalidRequest(f"image: too many pixels; allowed: up to {_MOST_PIXELS}", param="image") from error
    except Exception as error:  # Pillow raises whatever a broken header makes it stumble over
        raise UnsupportedMedia(
            f"image: got {len(content)} bytes that are no image; allowed: {', '.join(_FORMATS)}", param="image"
        ) from error
    with image:
        pixels = image.width * image.height
        if not 0 < pixels <= _MOST_PIXELS:
            raise InvalidRequest.field("image", f"{image.width}x{image.height}", f"1 to {_MOST_PIXELS} pixels")
        try:
            frames = _frames(image, manifest.output, _MOST_PIXELS // pixels)
        except Exception as error:  # as above
            raise InvalidRequest(f"image: broken {image.format} data", param="image") from error
    wanted = manifest.output.frames
    if wanted == 1:
        return frames[0]
    if len(frames) < wanted:
        raise InvalidRequest.field(
            "image", f"{len(frames)} frames", f"an animation of at least {wanted} for {manifest.reference}"
        )
    return np.stack([frames[round(index)] for index in np.linspace(0, len(frames) - 1, wanted)])


def _frames(image: Image.Image, output: Output, most: int) -> list[NDArray[np.uint8]]:
    """Frames from the first, at most `most`; a model of still images looks at one."""
    frames = [_frame(image, output)]
    while output.frames > 1 and len(frames) < min(most, _MOST_FRAMES):
        try:
            image.seek(len(frames))
        except EOFError:
            break
        frames.append(_frame(image, output))
    return frames


def _frame(image: Image.Image, output: Output) -> NDArray[np.uint8]:
    """The middle of the image in the model's proportions, at its size."""
    frame = image.convert("L" if output.channels == 1 else "RGB")
    if frame.size != (output.width, output.height):
        scale = min(frame.width / output.width, frame.height / output.height)
        width, height = max(1, round(output.width * scale)), max(1, round(output.height * scale))
        left, top = (frame.width - width) // 2, (frame.height - height) // 2
        frame = frame.crop((left, top, left + width, top + height))
        frame = frame.resize((output.width, output.height), Image.Resampling.LANCZOS)
    return np.asarray(frame, dtype=np.uint8).reshape(output.height, output.width, output.channels)
