"""The OpenAI image calls: those of `client.images` in the unmodified `openai` package, streamed too."""

import json
from collections.abc import Iterator, Sequence
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field, StrictBool, StrictInt, StrictStr

from runtime.sequences import FileFormat
from service.engine import Engine, SampleResult
from service.errors import InvalidRequest
from service.http_api import answer_schemas
from service.http_api.native import SampleFields, to_request
from service.http_api.rendering import image_item
from service.http_api.requests import body_schema, engine_of, note_model, read_json, while_connected
from service.http_api.streaming import Event, stream_answer
from service.http_api.uploads import ImageFields, read_upload, upload_schema
from service.reconstruction import Reconstruction, find_encoder, reconstruct
from service.sample_files import file_format
from service.sampling import SampleRequest
from service.served_models import ServedModel

router = APIRouter(tags=["OpenAI"])


class ImageGenerationBody(SampleFields):
    """Body of `POST /v1/images/generations`: the OpenAI fields, and those of `/v1/samples` beside them."""

    prompt: StrictStr = Field("", description="a class name or index; empty for any")
    size: StrictStr = Field("auto", description="auto, or WIDTHxHEIGHT of the model")
    response_format: Literal["b64_json", "url"] = Field("b64_json", description="url yields a data: URL")
    output_format: FileFormat | None = Field(None, description="encoding; default: png, of sequences gif")
    stream: StrictBool = Field(False, description="an event for each image as soon as it is ready")
    partial_images: StrictInt | None = Field(None, description="ignored: an image is drawn in one step")
    # Accepted since clients send them by habit; a generator here has no such choice to make.
    quality: StrictStr | None = Field(None, description="ignored")
    style: StrictStr | None = Field(None, description="ignored")
    background: StrictStr | None = Field(None, description="ignored")
    moderation: StrictStr | None = Field(None, description="ignored")
    output_compression: StrictInt | None = Field(None, description="ignored")
    user: StrictStr | None = Field(None, description="ignored")

    def to_request(self) -> SampleRequest:
        """The engine's request: the prompt is the label.

        Raises:
            InvalidRequest: both a prompt and labels were given.
        """
        prompt = self.prompt.strip()
        if prompt and self.labels is not None:
            raise InvalidRequest.field("prompt", self.prompt, "empty beside labels")
        if prompt:
            self.labels = prompt
        return super().to_request()


@router.post(
    "/v1/images/generations",
    summary="Generate images (OpenAI)",
    response_class=JSONResponse,
    responses=answer_schemas.openai_images("text/event-stream"),
    openapi_extra=body_schema(ImageGenerationBody, {"prompt": "3", "n": 2}),
)
async def generate(request: Request) -> Response:
    """Images of the class that `prompt` names; streamed, an event `image_generation.completed` for each."""
    engine = engine_of(request)
    body = await read_json(request, ImageGenerationBody)
    asked = await to_request(engine, body)
    model = await engine.registry.get(body.model)
    _check_size(body.size, model)
    chosen = file_format(body.output_format, model.manifest, field="output_format")
    try:
        if body.stream:
            return await _stream(request, engine, asked, model, chosen)
        result = await while_connected(request, engine.sample(asked, model))
    except InvalidRequest as error:
        if error.param == "labels" and body.prompt:  # where the label came from
            raise InvalidRequest(error.message.replace("labels", "prompt", 1), param="prompt") from error
        raise
    note_model(request, result)
    content = await engine.encode(lambda: _render(result, chosen, body.response_format))
    return Response(content, media_type="application/json")


async def _stream(
    request: Request, engine: Engine, asked: SampleRequest, model: ServedModel, chosen: FileFormat
) -> Response:
    def completed(part: SampleResult, first: int) -> Iterator[Event]:
        for row, pixels in enumerate(part.images):
            yield (
                "image_generation.completed",
                {
                    "type": "image_generation.completed",
                    **image_item(part, row, pixels, chosen),
                    "index": first + row,
                    "created_at": part.created,
                    "size": _size(model),
                    "quality": "auto",
                    "background": "opaque",
                    "output_format": chosen,
                    "model": part.model.manifest.reference,
                },
            )

    results = engine.stream(asked, model)
    return await stream_answer(
        request, engine, results, media_type="text/event-stream", to_events=completed, last=lambda part, rows: ()
    )


class VariationFields(ImageFields):
    """Fields of `POST /v1/images/variations`: the OpenAI ones, and ours beside them."""

    n: int = Field(1, description="number of images")
    size: str = Field("auto", description="auto, or WIDTHxHEIGHT of the model")
    response_format: Literal["b64_json", "url"] = Field("b64_json", description="url yields a data: URL")
    output_format: FileFormat | None = Field(None, description="encoding; default: png, of sequences gif")
    seed: int | None = Field(None, description="row seed of the first image's noise; image i has seed + i")
    strength: float = Field(0.3, description="0: the image as the model sees it, 1: any other image")
    user: str | None = Field(None, description="ignored")


@router.post(
    "/v1/images/variations",
    summary="Variations of an image (OpenAI)",
    response_class=JSONResponse,
    responses=answer_schemas.openai_images(),
    openapi_extra=upload_schema(VariationFields),
)
async def vary(request: Request) -> Response:
    """Neighbours of an uploaded image, for models that carry an encoder."""
    engine = engine_of(request)
    image, fields = await read_upload(request, VariationFields)
    model = await find_encoder(engine, fields.model)
    _check_size(fields.size, model)
    chosen = file_format(fields.output_format, model.manifest, field="output_format")
    asked = Reconstruction(
        n=fields.n,
        seed=fields.seed,
        strength=fields.strength,
        labels=None if fields.label is None else [fields.label],
        precision=fields.precision,
        priority=fields.priority,
    )
    result, seeds = await while_connected(request, reconstruct(engine, model, image, asked))
    note_model(request, result)
    content = await engine.encode(lambda: _render(result, chosen, fields.response_format, seeds))
    return Response(content, media_type="application/json")


def _check_size(size: str, model: ServedModel) -> None:
    own = _size(model)
    if size not in ("auto", own):
        raise InvalidRequest.field("size", size, f"auto or {own} for {model.manifest.reference}")


def _size(model: ServedModel) -> str:
    return f"{model.manifest.output.width}x{model.manifest.output.height}"


def _render(
    result: SampleResult,
    chosen: FileFormat,
    response_format: Literal["b64_json", "url"],
    seeds: Sequence[int] | None = None,
) -> bytes:
    """The answer's JSON; `seeds` where the images have other ones than their latents."""
    data = []
    for row, pixels in enumerate(result.images):
        item = image_item(result, row, pixels, chosen)
        if seeds is not None:
            item["seed"] = seeds[row]
        if response_format == "url":
            item["url"] = f"data:image/{chosen};base64,{item.pop('b64_json')}"
        data.append(item)
    return json.dumps(
        {
            "created": result.created,
            "data": data,
            "output_format": chosen,
            "size": _size(result.model),
            "model": result.model.manifest.reference,
            "precision": result.precision,
        }
    ).encode()
