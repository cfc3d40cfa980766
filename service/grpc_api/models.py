"""The native gRPC service `latentd.v1.Models`."""

from typing import Any

from pydantic import ValidationError

from service.aliases import Alias
from service.errors import InvalidRequest
from service.grpc_api._generated import latentd_v1_models_pb2 as pb
from service.grpc_api._generated.latentd_v1_models_pb2 import (
    GetModelRequest,
    ListModelsRequest,
    ListModelsResponse,
    Model,
)
from service.grpc_api._generated.latentd_v1_models_pb2_grpc import ModelsServicer
from service.registry import Registry
from service.served_models import ServedModel


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

    async def LoadModel(self, request: pb.LoadModelRequest, context: Any) -> Model:
        """Serve a model that was unloaded, or at once what the store has newly got."""
        return self._message(await self._registry.load(request.model))

    async def UnloadModel(self, request: pb.UnloadModelRequest, context: Any) -> pb.UnloadModelResponse:
        """Take a model away until it is loaded again."""
        self._registry.unload(request.model)
        return pb.UnloadModelResponse()

    async def ListAliases(self, request: pb.ListAliasesRequest, context: Any) -> pb.ListAliasesResponse:
        """Every alias."""
        aliases = [_alias_message(name, alias) for name, alias in self._registry.aliases().items()]
        return pb.ListAliasesResponse(aliases=aliases)

    async def SetAlias(self, request: pb.SetAliasRequest, context: Any) -> pb.Alias:
        """Set or replace an alias, all at once."""
        asked = request.alias
        canary = {"target": asked.canary.target, "weight": asked.canary.weight} if asked.HasField("canary") else None
        try:
            alias = Alias.model_validate({"target": asked.target, "canary": canary})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = ".".join(["alias", *map(str, first["loc"])])
            raise InvalidRequest.field(name, first["input"], "name@version, and a weight from 0 to 1") from error
        await self._registry.set_alias(asked.name, alias)
        return _alias_message(asked.name, alias)

    async def DeleteAlias(self, request: pb.DeleteAliasRequest, context: Any) -> pb.DeleteAliasResponse:
        """Remove an alias."""
        await self._registry.delete_alias(request.name)
        return pb.DeleteAliasResponse()

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


def _alias_message(name: str, alias: Alias) -> pb.Alias:
    message = pb.Alias(name=name, target=alias.target)
    if alias.canary is not None:
        message.canary.target = alias.canary.target
        message.canary.weight = alias.canary.weight
    return message
