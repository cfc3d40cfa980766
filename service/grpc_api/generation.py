"""The native gRPC service `latentd.v1.Generation`: convert, call the engine, convert."""

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial
from typing import Any

import numpy as np

from runtime.sequences import FileFormat, encode_file
from service.engine import Engine, SampleResult
from service.errors import InvalidRequest
from service.grpc_api._generated.latentd_v1_generation_pb2 import (
    Format,
    Image,
    InterpolateRequest,
    InterpolateResponse,
    InterpolationMode,
    Layout,
    Precision,
    Priority,
    SampleRequest,
    SampleResponse,
    SampleStreamResponse,
)
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationServicer
from service.interpolation import InterpolationRequest, run_interpolation
from service.sample_files import all_in_one, encoded_row, file_format
from service.sampling import Label
from service.sampling import SampleRequest as EngineRequest
from service.served_models import ServedModel

_PRECISIONS = {0: "auto", 1: "fp32", 2: "fp16", 3: "int8"}
_PRECISION_NUMBERS = {name: number for number, name in _PRECISIONS.items()}
_FORMATS: dict[int, FileFormat | None] = {0: None, 1: "png", 2: "jpeg", 3: "webp", 4: "gif"}
_PRIORITIES = {0: "interactive", 1: "bulk"}
_LAYOUTS = {0: "images", 1: "grid"}
_ON_LOOP_BYTES = 64 << 10
_MODES = {0: "slerp", 1: "lerp"}


class Generation(GenerationServicer):
    """See `proto/latentd/v1/generation.proto`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def Sample(self, request: SampleRequest, context: Any) -> SampleResponse:
        """Sample images; the call's deadline is the longest it may wait."""
        chosen = _choice("format", request.format, _FORMATS, Format)
        layout = _choice("layout", request.layout, _LAYOUTS, Layout)
        model = await self._engine.registry.get(request.model or None)
        if chosen == "gif":  # refused before anything is computed
            file_format(chosen, model.manifest)
        result = await self._engine.sample(await self._read(request, context, model), model)
        quick = chosen is None and result.images.nbytes <= _ON_LOOP_BYTES  # bytes to copy, nothing to compress
        return await self._engine.encode(lambda: _render(result, chosen, grid=layout == "grid"), quick=quick)

    async def SampleStream(self, request: SampleRequest, context: Any) -> AsyncIterator[SampleStreamResponse]:
        """The same images, each as soon as it is ready."""
        chosen = _choice("format", request.format, _FORMATS, Format)
        if _choice("layout", request.layout, _LAYOUTS, Layout) == "grid":
            raise InvalidRequest.field("layout", "LAYOUT_GRID", "LAYOUT_IMAGES: a stream has one image per message")
        model = await self._engine.registry.get(request.model or None)
        if chosen == "gif":
            file_format(chosen, model.manifest)
        row = 0
        asked = await self._read(request, context, model)
        async with aclosing(self._engine.stream(asked, model)) as results:
            async for part in results:
                for message in await self._engine.encode(partial(_messages, part, row, chosen)):
                    yield message
                row += len(part.images)

    async def _read(self, request: SampleRequest, context: Any, model: ServedModel) -> EngineRequest:
        """The engine's request; a large message is taken apart off the event loop."""
        read = partial(_to_engine, request, context.time_remaining(), model)
        return read() if request.ByteSize() <= _ON_LOOP_BYTES else await self._engine.off_loop(read)

    async def Interpolate(self, request: InterpolateRequest, context: Any) -> InterpolateResponse:
        """Images on the way from one seed to another."""
        chosen = _choice("format", request.format, _FORMATS, Format)
        asked = InterpolationRequest(
            from_seed=request.from_seed,
            to_seed=request.to_seed,
            steps=request.steps,
            mode=_choice("mode", request.mode, _MODES, InterpolationMode),
            labels=[_label(label) for label in request.labels] or None,
            truncation=request.truncation if request.HasField("truncation") else None,
            precision=_choice("precision", request.precision, _PRECISIONS, Precision),
            priority=_choice("priority", request.priority, _PRIORITIES, Priority),
            timeout_s=context.time_remaining(),
        )
        model = await self._engine.registry.get(request.model or None)
        result = await run_interpolation(self._engine, model, asked)
        return await self._engine.encode(lambda: _render_steps(result, chosen))


def _to_engine(request: SampleRequest, timeout_s: float | None, model: ServedModel) -> EngineRequest:
    latents = None
    if request.latents:
        dim = model.manifest.latent.dim  # width of the latent matrix, which the flat field does not carry
        flat = np.array(request.latents, dtype=np.float32)
        if len(flat) % dim:
            raise InvalidRequest(
                f"latents: got {len(flat)} numbers; allowed: n × {dim}, the model's latent_dim",
                param="latents",
            )
        latents = flat.reshape(-1, dim)
    return EngineRequest(
        model=request.model or None,
        n=request.n if request.HasField("n") else None,
        seed=request.seed if request.HasField("seed") else None,
        seeds=list(request.seeds) or None,
        labels=[_label(label) for label in request.labels] or None,
        truncation=request.truncation if request.HasField("truncation") else None,
        latents=latents,
        precision=_choice("precision", request.precision, _PRECISIONS, Precision),
        priority=_choice("priority", request.priority, _PRIORITIES, Priority),
        timeout_s=timeout_s,
    )


def _label(label: Any) -> Label:
    kind = label.WhichOneof("kind")
    if kind is None:
        raise InvalidRequest.field("labels", "an empty label", "index or name")
    value: Label = getattr(label, kind)
    return value


def _choice(name: str, value: int, choices: dict[int, Any], enum: Any) -> Any:
    """The word for an enum value; proto3 lets unknown numbers through."""
    if value not in choices:
        raise InvalidRequest.field(name, value, ", ".join(enum.keys()))
    return choices[value]


def _render(result: SampleResult, chosen: FileFormat | None, *, grid: bool) -> SampleResponse:
    if chosen:
        file_format(chosen, result.model.manifest)
    # Raw sequences in a grid run side by side, as those of an animation do.
    images = all_in_one(result.images, chosen or "gif") if grid else result.images
    rows = []
    for row, pixels in enumerate(images):
        content = encoded_row(result, row, pixels, chosen) if chosen else pixels.tobytes()
        rows.append(Image(seed=result.seed(row), data=content) if grid else _image(result, row, content))
    return SampleResponse(**_named(result), shape=images.shape[1:], images=rows)


def _messages(part: SampleResult, first: int, chosen: FileFormat | None) -> list[SampleStreamResponse]:
    """One message per image or animation; of sequences in a format without motion, one per frame."""
    return [
        SampleStreamResponse(
            **_named(part), shape=pixels.shape, index=first + row, frame=frame, image=_image(part, row, content)
        )
        for row in range(len(part.images))
        for frame, pixels, content in _pieces(part, row, chosen)
    ]


def _pieces(part: SampleResult, row: int, chosen: FileFormat | None) -> Iterator[tuple[int | None, Any, bytes]]:
    pixels = part.images[row]
    if pixels.ndim == 3 or chosen in ("gif", "webp"):
        yield None, pixels, encoded_row(part, row, pixels, chosen) if chosen else pixels.tobytes()
        return
    for frame, still in enumerate(pixels):
        yield frame, still, encode_file(still, chosen) if chosen else still.tobytes()


def _render_steps(result: SampleResult, chosen: FileFormat | None) -> InterpolateResponse:
    images = result.images
    if images.ndim == 4 and chosen in ("gif", "webp"):  # of a model of still images: one animation of all steps
        rows = [_image(result, 0, encode_file(images, chosen))]
        shape = images.shape
    else:
        rows = [
            _image(result, row, encoded_row(result, row, pixels, chosen) if chosen else pixels.tobytes())
            for row, pixels in enumerate(images)
        ]
        shape = images.shape[1:]
    return InterpolateResponse(**_named(result), shape=shape, images=rows)


def _image(result: SampleResult, row: int, content: bytes) -> Image:
    label = result.label(row)
    name = result.model.manifest.classes[label] if label is not None else ""
    return Image(seed=result.seed(row), label=label, label_name=name, data=content)


def _named(result: SampleResult) -> dict[str, Any]:
    """What names the images, under the fields that every response of this service has."""
    return {
        "model": result.model.name,
        "version": result.model.version,
        "precision": _PRECISION_NUMBERS[result.precision],
        "created": result.created,
    }
