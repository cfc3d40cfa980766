"""The OpenAI image call: `client.images.generate` of the unmodified `openai` package works."""

import base64
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field, StrictInt, StrictStr

from runtime.sequences import FileFormat
from service.engine import SampleResult
from service.errors import InvalidRequest
from service.http_api.native import SampleFields
from service.http_api.requests import body_schema, engine_of, note_model, read_json, while_connected
from service.registry import ServedModel
from service.sample_files import encoded_row, file_format
from service.sampling import SampleRequest

router = APIRouter(tags=["OpenAI"])


class ImageGenerationBody(SampleFields):
    """Body of `POST /v1/images/generations`: the OpenAI fields, and those of `/v1/samples` beside them."""

    prompt: StrictStr = Field("", description="a class name or index; empty for any")
    size: StrictStr = Field("auto", description="auto, or WIDTHxHEIGHT of the model")
    response_format: Literal["b64_json", "url"] = Field("b64_json", description="url yields a data: URL")
    output_format: FileFormat | None = Field(None, description="encoding; default: png, of sequences gif")
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
    openapi_extra=body_schema(ImageGenerationBody, {"prompt": "3", "n": 2}),
)
async def generate(request: Request) -> dict[str, Any]:
    """Images of the class that `prompt` names."""
    engine = engine_of(request)
    body = await read_json(request, ImageGenerationBody)
    asked = body.to_request()
    model = await engine.registry.get(body.model)
    _check_size(body.size, model)
    file_format(body.output_format, model.manifest, field="output_format")
    try:
        result = await while_connected(request, engine.sample(asked))
    except InvalidRequest as error:
        if error.param == "labels" and body.prompt:  # where the label came from
            raise InvalidRequest(error.message.replace("labels", "prompt", 1), param="prompt") from error
        raise
    note_model(request, result)
    return await engine.encode(lambda: _render(result, body))


def _check_size(size: str, model: ServedModel) -> None:
    own = f"{model.manifest.output.width}x{model.manifest.output.height}"
    if size not in ("auto", own):
        raise InvalidRequest.field("size", size, f"auto or {own} for {model.manifest.reference}")


def _render(result: SampleResult, body: ImageGenerationBody) -> dict[str, Any]:
    chosen = file_format(body.output_format, result.model.manifest, field="output_format")
    data = []
    for row, pixels in enumerate(result.images):
        content = base64.b64encode(encoded_row(result, row, pixels, chosen)).decode()
        image: dict[str, Any] = {"seed": result.seed(row), "label": result.label(row)}
        if body.response_format == "url":
            image["url"] = f"data:image/{chosen};base64,{content}"
        else:
            image["b64_json"] = content
        data.append(image)
    return {
        "created": result.created,
        "data": data,
        "output_format": chosen,
        "size": f"{result.model.manifest.output.width}x{result.model.manifest.output.height}",
        "model": result.model.manifest.reference,
        "precision": result.precision,
    }
