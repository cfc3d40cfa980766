"""Open Inference Protocol v2 over gRPC: `tritonclient.grpc` works.

Source: the protocol's `inference_grpc.md`. Answers are always in `raw_output_contents`.
"""

from collections.abc import Mapping
from typing import Any

from runtime import __version__
from service.engine import Engine, SampleResult
from service.errors import InvalidRequest, NotFound, NotReady
from service.grpc_api._generated import inference_open_inference_pb2 as pb
from service.grpc_api._generated.inference_open_inference_pb2_grpc import GRPCInferenceServiceServicer
from service.grpc_api.interceptor import note_model
from service.inference_tensors import (
    OUTPUT,
    PLATFORM,
    Parameter,
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
from service.sampling import SampleRequest

_CONTENTS = {"FP32": "fp32_contents", "UINT64": "uint64_contents", "INT64": "int64_contents"}


class InferenceService(GRPCInferenceServiceServicer):
    """The protocol's six calls."""

    def __init__(self, engine: Engine, lifecycle: Lifecycle) -> None:
        self._engine = engine
        self._lifecycle = lifecycle

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Any) -> pb.ServerLiveResponse:
        """True while the process answers."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Any) -> pb.ServerReadyResponse:
        """True once models are loaded, false before and while shutting down."""
        return pb.ServerReadyResponse(ready=self._lifecycle.ready)

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Any) -> pb.ModelReadyResponse:
        """Whether the model can answer; false for an unknown one, as Triton has it."""
        try:
            await self._engine.registry.get(_reference(request.name, request.version))
        except (NotFound, NotReady):
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=True)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Any) -> pb.ServerMetadataResponse:
        """Name and version."""
        return pb.ServerMetadataResponse(name="latentd", version=__version__)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Any) -> pb.ModelMetadataResponse:
        """Names, datatypes and shapes of the model's tensors."""
        registry = self._engine.registry
        model = await registry.get(_reference(request.name, request.version))
        return pb.ModelMetadataResponse(
            name=model.name,
            versions=[str(version) for version in registry.versions(model.name)],
            platform=PLATFORM,
            inputs=[_metadata(spec) for spec in input_specs(model.manifest)],
            outputs=[_metadata(spec) for spec in output_specs(model.manifest)],
        )

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
        """Latents or seeds in, images out; the call's deadline is the longest it may wait."""
        for output in request.outputs:
            if output.name != OUTPUT:
                raise InvalidRequest.field("outputs.name", output.name, OUTPUT)
        with tensor_names():
            result = await self._engine.sample(_to_engine(request, context.time_remaining()))
        note_model(result)
        return _response(result, request.id)


def _reference(name: str, version: str) -> str:
    if not name:
        raise InvalidRequest.field("model_name", name, "the name of a model")
    return f"{name}@{version}" if version else name


def _to_engine(request: pb.ModelInferRequest, timeout_s: float | None) -> SampleRequest:
    parameters: dict[str, Parameter] = {
        name: getattr(value, value.WhichOneof("parameter_choice") or "string_param")
        for name, value in request.parameters.items()
    }
    _reference(request.model_name, request.model_version)
    if timeout_s is not None:
        stated = parameters.get("timeout")
        if not isinstance(stated, int) or stated > timeout_s * 1e6:
            parameters["timeout"] = max(1.0, timeout_s * 1e6)
    return request_from_tensors(request.model_name, request.model_version, _tensors(request), parameters)


def _tensors(request: pb.ModelInferRequest) -> Mapping[str, Tensor]:
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise InvalidRequest.field("raw_input_contents", len(raw), f"one per input: {len(request.inputs)}, or none")
    tensors: dict[str, Tensor] = {}
    for index, entry in enumerate(request.inputs):
        if entry.name in tensors:
            raise InvalidRequest.field(f"inputs[{index}].name", entry.name, "a tensor name, each once")
        if raw:
            tensors[entry.name] = tensor_from_bytes(entry.name, entry.datatype, entry.shape, raw[index])
        else:
            values = list(getattr(entry.contents, _CONTENTS.get(entry.datatype, "fp32_contents")))
            tensors[entry.name] = tensor_from_values(entry.name, entry.datatype, entry.shape, values)
    return tensors


def _metadata(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.shape)


def _response(result: SampleResult, request_id: str) -> pb.ModelInferResponse:
    response = pb.ModelInferResponse(
        model_name=result.model.name,
        model_version=str(result.model.version),
        id=request_id,
        outputs=[pb.ModelInferResponse.InferOutputTensor(name=OUTPUT, datatype="UINT8", shape=result.images.shape)],
        raw_output_contents=[result.images.tobytes()],
    )
    response.parameters["precision"].string_param = result.precision
    seed = result.seed(0)
    if seed is not None:
        response.parameters["seed"].int64_param = seed
    return response
