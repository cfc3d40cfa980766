"""`POST /v1/reconstructions`: an image as a model with an encoder sees it."""

from fastapi import APIRouter, Request, Response
from pydantic import Field

from service.http_api import answer_schemas
from service.http_api.negotiation import OFFERED, Format, choose
from service.http_api.rendering import render
from service.http_api.requests import engine_of, note_model, while_connected
from service.http_api.uploads import ImageFields, read_upload, upload_schema
from service.reconstruction import Reconstruction, find_encoder, reconstruct
from service.sample_files import file_format

router = APIRouter(tags=["latentd"])


class ReconstructionFields(ImageFields):
    """Fields of `POST /v1/reconstructions` beside the image."""

    format: Format | None = Field(None, description="form of the answer, where Accept leaves it open")


@router.post(
    "/v1/reconstructions",
    summary="Reconstruct an image",
    response_class=Response,
    responses=answer_schemas.samples(*OFFERED),
    openapi_extra=upload_schema(ReconstructionFields),
)
async def create_reconstruction(request: Request) -> Response:
    """Image in, encoder, generator, image out. What is not of the model's shape is cropped and resized first."""
    engine = engine_of(request)
    image, fields = await read_upload(request, ReconstructionFields)
    answer = choose(", ".join(request.headers.getlist("accept")), fields.format)
    model = await find_encoder(engine, fields.model)
    if answer.file_format == "gif":
        file_format("gif", model.manifest)
    asked = Reconstruction(
        labels=None if fields.label is None else [fields.label],
        precision=fields.precision,
        priority=fields.priority,
    )
    result, _ = await while_connected(request, reconstruct(engine, model, image, asked))
    note_model(request, result)
    return await engine.encode(lambda: render(result, answer, "images"))
