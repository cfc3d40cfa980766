"""latentd's own calls: sampling, and everything a model's manifest says."""

from collections.abc import Iterator
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from service.engine import Engine, SampleResult
from service.errors import InvalidRequest
from service.http_api import answer_schemas
from service.http_api.answers import Deleted, Listed, ModelDetails, ModelObject
from service.http_api.negotiation import OFFERED, STREAMED, Format, Layout, choose, choose_stream
from service.http_api.raw_headers import listed
from service.http_api.rendering import check_layout, image_item, is_quick, render
from service.http_api.requests import body_schema, engine_of, read_json, while_connected
from service.http_api.streaming import Event, stream_answer
from service.inference_tensors import input_specs
from service.sample_files import file_format
from service.sampling import SampleRequest
from service.served_models import ServedModel

router = APIRouter(tags=["latentd"])

LabelValue = StrictInt | StrictStr
# Lists stop at their first wrong element: a body of millions of them would cost gigabytes of error text.
Seeds = Annotated[list[StrictInt], Field(fail_fast=True)]
Labels = Annotated[list[LabelValue], Field(fail_fast=True)]
Matrix = Annotated[list[Annotated[list[StrictFloat], Field(fail_fast=True)]], Field(fail_fast=True)]
LONGEST_MS = 10**9
"""The server's own limit is lower; a larger integer may not fit a float."""


class SampleFields(BaseModel):
    """What names images, shared by the native and the OpenAI-shaped call."""

    model_config = ConfigDict(extra="forbid")

    model: StrictStr | None = Field(None, description="name, name@version or alias; default: the server's")
    n: StrictInt | None = Field(None, description="number of images; default 1")
    seed: StrictInt | None = Field(None, description="row seed of the first image; image i has seed + i")
    seeds: Seeds | None = Field(None, description="one row seed per image, instead of `seed`")
    labels: LabelValue | Labels | None = Field(
        None,
        description="class index or name: one for all, or one per image; default: drawn from the row seed",
    )
    truncation: StrictFloat | None = Field(None, description="in (0, 1]; scales the latent towards the origin")
    latents: Matrix | None = Field(None, description="n × latent_dim numbers, instead of seeds")
    precision: StrictStr = Field("auto", description="auto, fp32, fp16 or int8")
    priority: StrictStr = Field("interactive", description="interactive or bulk")
    timeout_ms: StrictInt | None = Field(None, description="longest time the request may take, in milliseconds")

    def to_request(self) -> SampleRequest:
        """The engine's request.

        Raises:
            InvalidRequest: `timeout_ms` or the form of `latents` is wrong.
        """
        labels = self.labels
        if self.timeout_ms is not None and self.timeout_ms < 1:
            raise InvalidRequest.field("timeout_ms", self.timeout_ms, "an integer of at least 1")
        return SampleRequest(
            model=self.model,
            n=self.n,
            seed=self.seed,
            seeds=self.seeds,
            labels=[labels] if isinstance(labels, int | str) else labels,
            truncation=self.truncation,
            latents=None if self.latents is None else _matrix(self.latents),
            precision=self.precision,
            priority=self.priority,
            timeout_s=None if self.timeout_ms is None else min(self.timeout_ms, LONGEST_MS) / 1000,
        )


class SampleBody(SampleFields):
    """Body of `POST /v1/samples`; every field may be left out."""

    format: Format | None = Field(None, description="form of the answer, where Accept leaves it open")
    layout: Layout | None = Field(None, description="images, or one grid; a grid where several go into one file")
    stream: StrictBool = Field(False, description="each image as soon as it is ready: server-sent events, or NDJSON")


@router.post(
    "/v1/samples",
    summary="Sample images",
    response_class=Response,
    responses=answer_schemas.samples(*OFFERED, *STREAMED),
    openapi_extra=body_schema(SampleBody, {"n": 4, "seed": 7, "labels": "3"}),
)
async def sample(request: Request) -> Response:
    """Images in the form that `Accept` or `format` asks for: JSON with base64 PNG (sequences: GIF) by default.

    The same `(model, version, precision, seed, label, truncation)` yields the same pixels, always.
    """
    engine = engine_of(request)
    body = await read_json(request, SampleBody)
    accept = listed(request.scope, b"accept")
    asked = await to_request(engine, body)
    if body.stream:
        return await _stream(request, engine, body, asked, accept)
    answer = choose(accept, body.format)
    if body.n is not None and body.n > 0:
        check_layout(body.layout, body.n, answer)
    model = await engine.registry.get(body.model)
    if answer.file_format == "gif":  # refused before anything is computed
        file_format("gif", model.manifest)
    result = await while_connected(request, engine.sample(asked, model, seen_at_once=True))
    layout = check_layout(body.layout, len(result.images), answer)
    return await engine.encode(lambda: render(result, answer, layout), quick=is_quick(answer, result.images.nbytes))


async def to_request(engine: Engine, body: SampleFields) -> SampleRequest:
    """`body.to_request`, whose matrix of latents is made off the event loop."""
    return body.to_request() if body.latents is None else await engine.off_loop(body.to_request)


async def _stream(request: Request, engine: Engine, body: SampleBody, asked: SampleRequest, accept: str) -> Response:
    """An event ``image`` for each image, then one ``done``; an ``error`` ends a stream that has begun."""
    answer = choose_stream(accept, body.format)
    if body.layout == "grid":
        raise InvalidRequest.field("layout", body.layout, "images where stream is true")
    model = await engine.registry.get(body.model)
    chosen = file_format(answer.file_format, model.manifest)

    def images(part: SampleResult, first: int) -> Iterator[Event]:
        for row, pixels in enumerate(part.images):
            item = image_item(part, row, pixels, chosen)
            yield "image", {"type": "image", "index": first + row, **item}

    def done(part: SampleResult, rows: int) -> Iterator[Event]:
        named = {"model": part.model.name, "version": part.model.version, "precision": part.precision}
        yield "done", {"type": "done", **named, "created": part.created, "images": rows}

    results = engine.stream(asked, model)
    return await stream_answer(request, engine, results, media_type=answer.media_type, to_events=images, last=done)


@router.get("/v1/models", summary="List models")
async def list_models(request: Request) -> Listed[ModelObject]:
    """Every model being served, in the shape of the OpenAI API."""
    registry = engine_of(request).registry
    return {"object": "list", "data": [_card(model) for model in registry.served()]}


@router.get("/v1/models/{name}", summary="One model")
async def get_model(request: Request, name: Annotated[str, "name, name@version or alias"]) -> ModelDetails:
    """Everything the manifest says, with the versions that can be asked for and those that were refused."""
    engine: Engine = engine_of(request)
    model = await engine.registry.get(name)
    refused = {
        reference: reason
        for reference, reason in engine.registry.refused().items()
        if reference.startswith(f"{model.name}@")
    }
    return {
        **_card(model),
        "versions": engine.registry.versions(model.name),
        "aliases": [
            alias
            for alias, meaning in engine.registry.aliases().items()
            if model.name in {name for name, _ in meaning.targets()}
        ],
        "inputs": [
            {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape} for spec in input_specs(model.manifest)
        ],
        "refused": refused,
        "manifest": model.manifest.model_dump(mode="json"),
    }


@router.delete("/v1/models/{name}", summary="Delete a version")
async def delete_model(request: Request, name: Annotated[str, "name@version"]) -> Deleted:
    """Remove a version from the store for ever; requests in flight end on it. Scope: admin."""
    await engine_of(request).registry.delete(name)
    return {"id": name, "object": "model", "deleted": True}


def _card(model: ServedModel) -> ModelObject:
    return {
        "id": model.name,
        "object": "model",
        "created": int(model.manifest.created.timestamp()),
        "owned_by": "latentd",
        "version": model.version,
        "family": model.manifest.family,
        "shape": list(model.manifest.output.shape),
        "latent_dim": model.manifest.latent.dim,
        "classes": model.manifest.classes,
        "precisions": sorted(model.lanes),
        "encoder": model.encoder is not None,
    }


def _matrix(latents: list[list[float]]) -> np.typing.NDArray[np.float32]:
    if not latents:
        raise InvalidRequest.field("latents", latents, "one row of latent_dim numbers for each image")
    if len({len(row) for row in latents}) > 1:
        raise InvalidRequest(
            f"latents: got rows of {sorted({len(row) for row in latents})} numbers; allowed: all of latent_dim",
            param="latents",
        )
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which the engine refuses by name
        return np.array(latents, dtype=np.float64).reshape(len(latents), -1).astype(np.float32)
