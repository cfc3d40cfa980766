"""Open Inference Protocol v2 over gRPC: `tritonclient.grpc` works.

Source: the protocol's `inference_grpc.md`. Answers are always in `raw_output_contents`.
"""

from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any

from google.protobuf.json_format import ParseDict

from runtime import __version__
from service.engine import Engine, SampleResult
from service.errors import InvalidRequest, NotFound, NotReady, ServiceError
from service.grpc_api._generated import inference_open_inference_pb2 as pb
from service.grpc_api._generated.inference_open_inference_pb2_grpc import GRPCInferenceServiceServicer
from service.inference_models import check_repository_parameters, model_config, model_statistics
from service.inference_tensors import (
    EXTENSIONS,
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

_ON_LOOP_BYTES = 64 << 10
_CONTENTS = {"FP32": "fp32_contents", "UINT64": "uint64_contents", "INT64": "int64_contents"}


class InferenceService(GRPCInferenceServiceServicer):
    """The protocol's six calls, and those of the extensions that are listed in `EXTENSIONS`."""

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
        return pb.ServerMetadataResponse(name="latentd", version=__version__, extensions=EXTENSIONS)

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
        return await self._infer(request, context.time_remaining())

    async def ModelStreamInfer(
        self, request_iterator: AsyncIterator[pb.ModelInferRequest], context: Any
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        """Requests answered in their order; a wrong one is answered with its error and ends nothing."""
        async for request in request_iterator:
            try:
                response = await self._infer(request, context.time_remaining())
            except ServiceError as error:
                failed = pb.ModelInferResponse(id=request.id)
                yield pb.ModelStreamInferResponse(error_message=error.message, infer_response=failed)
            else:
                yield pb.ModelStreamInferResponse(infer_response=response)

    async def ModelConfig(self, request: pb.ModelConfigRequest, context: Any) -> pb.ModelConfigResponse:
        """Tensors without their batch dimension, and the most images of a request."""
        model = await self._engine.registry.get(_reference(request.name, request.version))
        config = ParseDict(dict(model_config(model, self._engine.max_images)), pb.ModelConfig())
        return pb.ModelConfigResponse(config=config)

    async def ModelStatistics(self, request: pb.ModelStatisticsRequest, context: Any) -> pb.ModelStatisticsResponse:
        """Counts and times since each version was loaded."""
        registry = self._engine.registry
        if request.name:
            model = await registry.get(_reference(request.name, request.version))
            models = [model] if request.version else registry.loaded(model.name)
        else:
            models = [each for model in registry.served() for each in registry.loaded(model.name)]
        return pb.ModelStatisticsResponse(
            model_stats=[ParseDict(dict(model_statistics(model)), pb.ModelStatistics()) for model in models]
        )

    async def RepositoryIndex(self, request: pb.RepositoryIndexRequest, context: Any) -> pb.RepositoryIndexResponse:
        """Every version in the store, whether it is loaded, and why not."""
        return pb.RepositoryIndexResponse(
            models=[
                pb.RepositoryIndexResponse.ModelIndex(
                    name=each.name, version=str(each.version), state=each.state, reason=each.reason
                )
                for each in self._engine.registry.stored()
                if each.state == "READY" or not request.ready
            ]
        )

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: Any
    ) -> pb.RepositoryModelLoadResponse:
        """Serve a model that was unloaded, or at once what the store has newly got."""
        check_repository_parameters(request.parameters)
        await self._engine.registry.load(_reference(request.model_name, ""))
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: Any
    ) -> pb.RepositoryModelUnloadResponse:
        """Take a model away until it is loaded again."""
        check_repository_parameters(request.parameters)
        self._engine.registry.unload(_reference(request.model_name, ""))
        return pb.RepositoryModelUnloadResponse()

    async def _infer(self, request: pb.ModelInferRequest, timeout_s: float | None) -> pb.ModelInferResponse:
        for output in request.outputs:
            if output.name != OUTPUT:
                raise InvalidRequest.field("outputs.name", output.name, OUTPUT)
        with tensor_names():
            read = partial(_to_engine, request, timeout_s)
            asked = read() if request.ByteSize() <= _ON_LOOP_BYTES else await self._engine.off_loop(read)
            result = await self._engine.sample(asked)
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
