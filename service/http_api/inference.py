"""Open Inference Protocol v2 over HTTP, with the binary tensor extension: `tritonclient.http` works.

Source: the protocol's `inference_rest.md`, and Triton's `extension_binary_data.md`.
"""

import json
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

from fastapi import APIRouter, Request, Response

from runtime import __version__
from service.engine import SampleResult
from service.errors import InvalidRequest, NotReady
from service.http_api import answer_schemas
from service.http_api.answers import (
    ModelMetadata,
    ModelReady,
    ServerLive,
    ServerMetadata,
    ServerReady,
    TensorMetadata,
)
from service.http_api.requests import (
    ON_LOOP_BYTES,
    decode_large,
    engine_of,
    note_model,
    read_inflated,
    while_connected,
)
from service.inference_tensors import (
    EXTENSIONS,
    OUTPUT,
    PLATFORM,
    Tensor,
    TensorSpec,
    input_specs,
    output_specs,
    request_from_tensors,
    tensor_from_bytes,
    tensor_from_values,
    tensor_names,
)
from service.lifecycle import Lifecycle
from service.served_models import ServedModel

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])

_FIELDS = ("id", "inputs", "outputs", "parameters")
_HEADER_LENGTH = "Inference-Header-Content-Length"
_JSON_PIXELS = 4 << 20  # as numbers in JSON each pixel takes four bytes of text and more of memory


_INFER_BODY: dict[str, Any] = {
    "parameters": [
        {
            "name": _HEADER_LENGTH,
            "in": "header",
            "required": False,
            "description": "bytes of the JSON header, where binary tensors follow it",
            "schema": {"type": "integer", "minimum": 0},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["inputs"],
                    "additionalProperties": False,
                    "properties": {
                        "id": {"type": "string"},
                        "parameters": {
                            "type": "object",
                            "description": "precision, priority, timeout (microseconds), binary_data_output",
                        },
                        "inputs": {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "type": "object",
                                "required": ["name", "datatype", "shape"],
                                "properties": {
                                    "name": {"enum": ["latents", "seed", "label", "truncation"]},
                                    "datatype": {"enum": ["FP32", "UINT64", "INT64"]},
                                    "shape": {"type": "array", "items": {"type": "integer"}},
                                    "data": {"type": "array", "items": {}},
                                    "parameters": {"type": "object"},
                                },
                            },
                        },
                        "outputs": {
                            "type": "array",
                            "items": {
                                "type": "object",
                                "required": ["name"],
                                "properties": {"name": {"const": OUTPUT}, "parameters": {"type": "object"}},
                            },
                        },
                    },
                },
                "example": {
                    "inputs": [{"name": "seed", "datatype": "UINT64", "shape": [2, 1], "data": [7, 8]}],
                },
            },
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    },
}


@router.get("", summary="Server metadata")
async def server_metadata() -> ServerMetadata:
    """Name, version and protocol extensions."""
    return {"name": "latentd", "version": __version__, "extensions": list(EXTENSIONS)}


@router.get("/health/live", summary="Liveness")
async def live() -> ServerLive:
    """200 while the process answers."""
    return {"live": True}


@router.get("/health/ready", summary="Readiness")
async def ready(request: Request) -> ServerReady:
    """200 once models are loaded, 503 before and while shutting down."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    if not lifecycle.ready:
        raise NotReady(lifecycle.reason, retry_after_s=1.0)
    return {"ready": True}


@router.get("/models/{name}", summary="Model metadata")
@router.get("/models/{name}/versions/{version}", summary="Model metadata of a version")
async def model_metadata(request: Request, name: str, version: str = "") -> ModelMetadata:
    """Names, datatypes and shapes of the model's tensors."""
    model = await _model(request, name, version)
    return {
        "name": model.name,
        "versions": [str(number) for number in engine_of(request).registry.versions(model.name)],
        "platform": PLATFORM,
        "inputs": [_spec(spec) for spec in input_specs(model.manifest)],
        "outputs": [_spec(spec) for spec in output_specs(model.manifest)],
    }


@router.get("/models/{name}/ready", summary="Model readiness")
@router.get("/models/{name}/versions/{version}/ready", summary="Readiness of a version")
async def model_ready(request: Request, name: str, version: str = "") -> ModelReady:
    """200 when the model can answer."""
    model = await _model(request, name, version)
    return {"name": model.name, "ready": True}


@router.post(
    "/models/{name}/infer",
    summary="Infer",
    response_class=Response,
    responses=answer_schemas.inference(),
    openapi_extra=_INFER_BODY,
)
@router.post(
    "/models/{name}/versions/{version}/infer",
    summary="Infer with a version",
    response_class=Response,
    responses=answer_schemas.inference(),
    openapi_extra=_INFER_BODY,
)
async def infer(request: Request, name: str, version: str = "") -> Response:
    """Latents or seeds in, images out, as JSON numbers or as binary tensors."""
    engine = engine_of(request)
    body = await read_inflated(request, request.app.state.max_body_bytes)
    read = partial(_read, body, request.headers.get(_HEADER_LENGTH))
    asked = read() if len(body) <= ON_LOOP_BYTES else await engine.off_loop(read)
    sample = request_from_tensors(name, version, asked.tensors, asked.parameters)
    model = await engine.registry.get(sample.model)
    pixels = (sample.n or 1) * prod(model.manifest.output.shape)
    if not asked.binary_output and pixels > _JSON_PIXELS:
        raise InvalidRequest.field(
            "outputs.images.parameters.binary_data", False, f"true for {pixels} pixels; up to {_JSON_PIXELS} go as JSON"
        )
    with tensor_names():
        result = await while_connected(request, engine.sample(sample, model))
    note_model(request, result)
    return await engine.encode(lambda: _render(result, asked))


@dataclass(frozen=True)
class _Asked:
    """A request body, read."""

    id: object
    tensors: dict[str, Tensor]
    parameters: dict[str, Any]
    binary_output: bool


def _read(body: bytes, header_length: str | None) -> _Asked:
    header, binary = _split(body, header_length)
    tensors = _tensors(header, binary)
    parameters = _mapping(header, "parameters")
    binary_output = _binary_output(header, parameters.pop("binary_data_output", False))
    return _Asked(header.get("id"), tensors, parameters, binary_output)


async def _model(request: Request, name: str, version: str) -> ServedModel:
    return await engine_of(request).registry.get(f"{name}@{version}" if version else name)


def _split(body: bytes, header_length: str | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON header, and the binary tensors that follow it."""
    length = len(body)
    if header_length is not None:
        number = header_length.isascii() and header_length.isdecimal() and len(header_length) < 20
        if not number or int(header_length) > len(body):
            raise InvalidRequest.field(_HEADER_LENGTH, header_length, f"0 to {len(body)}, the length of the body")
        length = int(header_length)
    try:
        header = json.loads(body[:length]) if length <= ON_LOOP_BYTES else decode_large(body[:length])
    except (ValueError, RecursionError) as error:
        raise InvalidRequest(f"body: not JSON ({error}); allowed: an inference request", param="body") from error
    if not isinstance(header, dict):
        raise InvalidRequest.field("body", header, "a JSON object")
    for name in header:
        if name not in _FIELDS:
            raise InvalidRequest.unknown(name, header[name], _FIELDS)
    return header, memoryview(body)[length:]


def _tensors(header: dict[str, Any], binary: memoryview) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    offset = 0
    for index, entry in enumerate(_list(header, "inputs")):
        if not isinstance(entry, dict):
            raise InvalidRequest.field(f"inputs[{index}]", entry, "an object")
        name, datatype, shape = entry.get("name"), entry.get("datatype"), entry.get("shape")
        if not isinstance(name, str) or name in tensors:
            raise InvalidRequest.field(f"inputs[{index}].name", name, "a tensor name, each once")
        if not isinstance(datatype, str):
            raise InvalidRequest.field(f"inputs.{name}.datatype", datatype, "a datatype such as FP32")
        if not isinstance(shape, list) or not all(type(side) is int for side in shape):
            raise InvalidRequest.field(f"inputs.{name}.shape", shape, "a list of integers")
        size = _mapping(entry, "parameters").get("binary_data_size")
        if size is None:
            tensors[name] = tensor_from_values(name, datatype, shape, entry.get("data"))
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - offset:
            raise InvalidRequest.field(
                f"inputs.{name}.parameters.binary_data_size",
                size,
                f"0 to {len(binary) - offset}, the bytes left",
            )
        tensors[name] = tensor_from_bytes(name, datatype, shape, binary[offset : offset + size])
        offset += size
    if offset != len(binary):
        raise InvalidRequest(
            f"body: got {len(binary)} bytes behind the header; allowed: {offset}, what the inputs declare",
            param="body",
        )
    return tensors


def _binary_output(header: dict[str, Any], default: object) -> bool:
    outputs = _list(header, "outputs")
    for index, entry in enumerate(outputs):
        name = entry.get("name") if isinstance(entry, dict) else entry
        if name != OUTPUT:
            raise InvalidRequest.field(f"outputs[{index}].name", name, OUTPUT)
    if not outputs:
        return bool(default)
    first = outputs[0] if isinstance(outputs[0], dict) else {}
    return bool(_mapping(first, "parameters").get("binary_data", default))


def _list(source: dict[str, Any], name: str) -> list[Any]:
    value = source.get(name, [])
    if not isinstance(value, list):
        raise InvalidRequest.field(name, value, "a list")
    return value


def _mapping(source: dict[str, Any], name: str) -> dict[str, Any]:
    value = source.get(name, {})
    if not isinstance(value, dict):
        raise InvalidRequest.field(name, value, "an object")
    return dict(value)


def _spec(spec: TensorSpec) -> TensorMetadata:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}


def _render(result: SampleResult, asked: _Asked) -> Response:
    images = result.images
    output: dict[str, Any] = {"name": OUTPUT, "datatype": "UINT8", "shape": list(images.shape)}
    content: dict[str, Any] = {
        "model_name": result.model.name,
        "model_version": str(result.model.version),
        **({"id": asked.id} if asked.id is not None else {}),
        "parameters": {
            "precision": result.precision,
            **({"seed": result.seed(0)} if result.seeds is not None else {}),
        },
        "outputs": [output],
    }
    if not asked.binary_output:
        # Image by image, so that other threads get their turn; "data" is the last key of the last output.
        pixels = ", ".join(json.dumps(image.reshape(-1).tolist())[1:-1] for image in images)
        return Response(json.dumps(content)[:-3] + f', "data": [{pixels}]}}]}}', media_type="application/json")
    output["parameters"] = {"binary_data_size": images.nbytes}
    header = json.dumps(content).encode()
    return Response(
        header + images.tobytes(),
        headers={_HEADER_LENGTH: str(len(header))},
        media_type="application/octet-stream",
    )
