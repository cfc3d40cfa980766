"""The native gRPC service `latentd.v1.Models`."""

from typing import Any

from service.grpc_api._generated.latentd_v1_models_pb2 import (
    GetModelRequest,
    ListModelsRequest,
    ListModelsResponse,
    Model,
)
from service.grpc_api._generated.latentd_v1_models_pb2_grpc import ModelsServicer
from service.registry import Registry, ServedModel


class Models(ModelsServicer):
    """See `proto/latentd/v1/models.proto`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def ListModels(self, request: ListModelsRequest, context: Any) -> ListModelsResponse:
        """Every model being served."""
        return ListModelsResponse(models=[self._message(model) for model in self._registry.served()])

    async def GetModel(self, request: GetModelRequest, context: Any) -> Model:
        """One model with its manifest."""
        return self._message(await self._registry.get(request.model))

    def _message(self, model: ServedModel) -> Model:
        manifest = model.manifest
        return Model(
            name=model.name,
            version=model.version,
            versions=self._registry.versions(model.name),
            family=manifest.family,
            latent_dim=manifest.latent.dim,
            classes=manifest.classes,
            shape=manifest.output.shape,
            precisions=sorted(model.lanes),
            manifest_json=manifest.model_dump_json(),
        )
