"""The native gRPC service `latentd.v1.Generation`: convert, call the engine, convert."""

from typing import Any

import numpy as np

from runtime.sequences import FileFormat
from service.engine import Engine, SampleResult
from service.errors import InvalidRequest
from service.grpc_api._generated.latentd_v1_generation_pb2 import (
    Format,
    Image,
    Layout,
    Precision,
    Priority,
    SampleRequest,
    SampleResponse,
)
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationServicer
from service.grpc_api.interceptor import note_model
from service.sample_files import all_in_one, encoded_row, file_format
from service.sampling import Label
from service.sampling import SampleRequest as EngineRequest

_PRECISIONS = {0: "auto", 1: "fp32", 2: "fp16", 3: "int8"}
_PRECISION_NUMBERS = {name: number for number, name in _PRECISIONS.items()}
_FORMATS: dict[int, FileFormat | None] = {0: None, 1: "png", 2: "jpeg", 3: "webp", 4: "gif"}
_PRIORITIES = {0: "interactive", 1: "bulk"}
_LAYOUTS = {0: "images", 1: "grid"}


class Generation(GenerationServicer):
    """See `proto/latentd/v1/generation.proto`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def Sample(self, request: SampleRequest, context: Any) -> SampleResponse:
        """Sample images; the call's deadline is the longest it may wait."""
        chosen = _choice("format", request.format, _FORMATS, Format)
        layout = _choice("layout", request.layout, _LAYOUTS, Layout)
        if chosen == "gif":  # refused before anything is computed
            file_format(chosen, (await self._engine.registry.get(request.model or None)).manifest)
        result = await self._engine.sample(_to_engine(request, context.time_remaining(), await self._dim(request)))
        note_model(result)
        return await self._engine.encode(lambda: _render(result, chosen, grid=layout == "grid"))

    async def _dim(self, request: SampleRequest) -> int:
        """Width of the latent matrix, which the flat field does not carry."""
        if not request.latents:
            return 0
        return (await self._engine.registry.get(request.model)).manifest.latent.dim


def _to_engine(request: SampleRequest, timeout_s: float | None, dim: int) -> EngineRequest:
    latents = None
    if request.latents:
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
        label = None if grid else result.label(row)
        name = result.model.manifest.classes[label] if label is not None else ""
        rows.append(Image(seed=result.seed(row), label=label, label_name=name, data=content))
    return SampleResponse(
        model=result.model.name,
        version=result.model.version,
        precision=Precision.ValueType(_PRECISION_NUMBERS[result.precision]),
        created=result.created,
        shape=images.shape[1:],
        images=rows,
    )
