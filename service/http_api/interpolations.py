"""`POST /v1/interpolations`: images on the way from one seed to another, as frames or as an animation."""

import base64
import json
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from runtime.sequences import encode_file
from service.engine import SampleResult
from service.errors import InvalidRequest
from service.http_api import answer_schemas
from service.http_api.native import LONGEST_MS, Labels, LabelValue
from service.http_api.negotiation import OFFERED, Answer, Format, choose
from service.http_api.rendering import identity_headers, image_item, render
from service.http_api.requests import body_schema, engine_of, note_model, read_json, while_connected
from service.interpolation import InterpolationRequest, Mode, run_interpolation
from service.sample_files import file_format

router = APIRouter(tags=["latentd"])


class InterpolationBody(BaseModel):
    """Body of `POST /v1/interpolations`."""

    model_config = ConfigDict(extra="forbid")

    model: StrictStr | None = Field(None, description="name, name@version or alias; default: the server's")
    from_seed: StrictInt = Field(description="row seed of the first image")
    to_seed: StrictInt = Field(description="row seed of the last")
    steps: StrictInt = Field(8, description="images, both ends included")
    mode: Mode = Field("slerp", description="along the great circle (slerp) or the straight line (lerp)")
    labels: LabelValue | Labels | None = Field(
        None, description="class index or name: one for all, or one per step; default: the one from_seed draws"
    )
    truncation: StrictFloat | None = Field(None, description="in (0, 1]; scales the latents towards the origin")
    precision: StrictStr = Field("auto", description="auto, fp32, fp16 or int8")
    priority: StrictStr = Field("interactive", description="interactive or bulk")
    timeout_ms: StrictInt | None = Field(None, description="longest time the request may take, in milliseconds")
    format: Format | None = Field(
        None, description="gif: one animation; webp, png, jpeg by Accept: an animation or a film strip; npy, npz, raw"
    )

    def to_request(self) -> InterpolationRequest:
        """The request as both transports make it.

        Raises:
            InvalidRequest: `timeout_ms` is wrong.
        """
        if self.timeout_ms is not None and self.timeout_ms < 1:
            raise InvalidRequest.field("timeout_ms", self.timeout_ms, "an integer of at least 1")
        return InterpolationRequest(
            from_seed=self.from_seed,
            to_seed=self.to_seed,
            steps=self.steps,
            mode=self.mode,
            labels=[self.labels] if isinstance(self.labels, int | str) else self.labels,
            truncation=self.truncation,
            precision=self.precision,
            priority=self.priority,
            timeout_s=None if self.timeout_ms is None else min(self.timeout_ms, LONGEST_MS) / 1000,
        )


@router.post(
    "/v1/interpolations",
    summary="Interpolate between two seeds",
    response_class=Response,
    responses=answer_schemas.interpolations(*OFFERED),
    openapi_extra=body_schema(InterpolationBody, {"from_seed": 7, "to_seed": 8, "steps": 12, "format": "gif"}),
)
async def interpolate(request: Request) -> Response:
    """Frames in JSON by default; a GIF or WebP is one animation, a PNG or JPEG a film strip from left to right.

    The first and the last are exactly the images that `/v1/samples` draws for the two seeds with the same label.
    """
    engine = engine_of(request)
    body = await read_json(request, InterpolationBody)
    answer = choose(", ".join(request.headers.getlist("accept")), body.format)
    asked = body.to_request()
    model = await engine.registry.get(body.model)
    result = await while_connected(request, run_interpolation(engine, model, asked))
    note_model(request, result)
    return await engine.encode(lambda: _render(result, answer, body))


def _render(result: SampleResult, answer: Answer, body: InterpolationBody) -> Response:
    headers = {**identity_headers(result), "x-latentd-seed": str(body.from_seed)}
    still = result.model.manifest.output.frames == 1
    if still and answer.media_type.startswith("image/"):
        assert answer.file_format is not None
        return Response(encode_file(result.images, answer.file_format), headers=headers, media_type=answer.media_type)
    if answer.media_type == "application/json":
        return Response(_json(result, answer, body, still=still), headers=headers, media_type="application/json")
    response = render(result, answer, "grid" if answer.media_type.startswith("image/") else "images")
    response.headers.update(headers)
    return response


def _json(result: SampleResult, answer: Answer, body: InterpolationBody, *, still: bool) -> bytes:
    data: list[dict[str, Any]]
    if still and answer.file_format == "gif":
        animation = base64.b64encode(encode_file(result.images, "gif")).decode()
        data = [{"position": None, "label": None, "b64_json": animation}]
    else:
        chosen = file_format(answer.file_format, result.model.manifest)
        positions = np.linspace(0.0, 1.0, len(result.images)).tolist()
        data = [
            {"position": positions[step], **image_item(result, step, pixels, chosen)}
            for step, pixels in enumerate(result.images)
        ]
        for item in data:
            del item["seed"]  # a step between two seeds has none
    return json.dumps(
        {
            "model": result.model.name,
            "version": result.model.version,
            "precision": result.precision,
            "created": result.created,
            "from_seed": body.from_seed,
            "to_seed": body.to_seed,
            "mode": body.mode,
            "data": data,
        }
    ).encode()
