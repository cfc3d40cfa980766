"""The inference protocol's extensions over HTTP: configuration, statistics, and loading and unloading models.

Source: Triton's `extension_model_configuration.md`, `extension_statistics.md`, `extension_model_repository.md`.
"""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool

from service.http_api.answers import IndexEntry, Statistics
from service.http_api.requests import body_schema, engine_of, read_json
from service.inference_models import (
    ModelConfig,
    check_repository_parameters,
    model_config,
    model_statistics,
)

router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])


class IndexBody(BaseModel):
    """Body of `POST /v2/repository/index`; it may be left out."""

    model_config = ConfigDict(extra="forbid")

    ready: StrictBool = Field(False, description="only what is loaded")


class RepositoryBody(BaseModel):
    """Body of `load` and `unload`; it may be left out."""

    model_config = ConfigDict(extra="forbid")

    parameters: dict[str, Any] = Field(default_factory=dict, description="unload_dependents is accepted, none has any")


@router.get("/models/stats", summary="Statistics of every loaded version")
async def all_statistics(request: Request) -> Statistics:
    """Counts and times since each version was loaded."""
    registry = engine_of(request).registry
    return {
        "model_stats": [model_statistics(each) for model in registry.served() for each in registry.loaded(model.name)]
    }


@router.get("/models/{name}/stats", summary="Statistics of a model")
@router.get("/models/{name}/versions/{version}/stats", summary="Statistics of a version")
async def statistics(request: Request, name: str, version: str = "") -> Statistics:
    """Counts and times since each version was loaded; without a version, of every loaded one."""
    registry = engine_of(request).registry
    model = await registry.get(f"{name}@{version}" if version else name)
    models = [model] if version else registry.loaded(model.name)
    return {"model_stats": [model_statistics(each) for each in models]}


@router.get("/models/{name}/config", summary="Configuration of a model")
@router.get("/models/{name}/versions/{version}/config", summary="Configuration of a version")
async def config(request: Request, name: str, version: str = "") -> ModelConfig:
    """Tensors without their batch dimension, and the most images of a request."""
    engine = engine_of(request)
    return model_config(await engine.registry.get(f"{name}@{version}" if version else name), engine.max_images)


@router.post(
    "/repository/index", summary="Versions in the store", openapi_extra=body_schema(IndexBody, {"ready": True})
)
async def index(request: Request) -> list[IndexEntry]:
    """Every version in the store, whether it is loaded, and why not."""
    body = await read_json(request, IndexBody)
    return [
        {"name": each.name, "version": str(each.version), "state": each.state, "reason": each.reason}
        for each in engine_of(request).registry.stored()
        if each.state == "READY" or not body.ready
    ]


@router.post(
    "/repository/models/{name}/load",
    summary="Load a model",
    response_class=Response,
    openapi_extra=body_schema(RepositoryBody, {}),
)
async def load(request: Request, name: str) -> Response:
    """Serve a model that was unloaded, or at once what the store has newly got. Scope: admin."""
    check_repository_parameters((await read_json(request, RepositoryBody)).parameters)
    await engine_of(request).registry.load(name)
    return Response(status_code=200)


@router.post(
    "/repository/models/{name}/unload",
    summary="Unload a model",
    response_class=Response,
    openapi_extra=body_schema(RepositoryBody, {}),
)
async def unload(request: Request, name: str) -> Response:
    """Take a model away until it is loaded again; requests in flight end on it. Scope: admin."""
    check_repository_parameters((await read_json(request, RepositoryBody)).parameters)
    engine_of(request).registry.unload(name)
    return Response(status_code=200)
