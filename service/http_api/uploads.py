"""An uploaded image with its fields: a form (multipart/form-data), or JSON with the image in base64.

The size of the whole body is limited before it comes here.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from service.errors import InvalidRequest
from service.http_api.requests import explain, read_json

_FIELDS = 32
_FIELD_BYTES = 64 << 10
_WHITE_PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg=="


class ImageFields(BaseModel):
    """What comes beside an uploaded image; numbers may be written as text, as forms have them."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    model: str | None = Field(None, description="name, name@version or alias of a model with an encoder")
    label: int | str | None = Field(None, description="class index or name, for a model with classes")
    precision: str = Field("auto", description="auto, fp32, fp16 or int8")
    priority: str = Field("interactive", description="interactive or bulk")


_Fields = TypeVar("_Fields", bound=ImageFields)


async def read_upload(request: Request, model: type[_Fields]) -> tuple[bytes, _Fields]:
    """The image file and the checked fields beside it.

    Raises:
        InvalidRequest: no image, several, or a field is unknown or wrong.
    """
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return await _read_form(request, model)
    return await _read_json(request, model)


def upload_schema(model: type[ImageFields]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body with `read_upload`."""
    properties: dict[str, Any] = model.model_json_schema()["properties"]
    file = {"type": "string", "format": "binary", "description": "PNG, JPEG, WebP or GIF"}
    text = {"type": "string", "format": "byte", "description": "the same in base64"}

    def body(image: dict[str, Any]) -> dict[str, Any]:
        return {
            "schema": {
                "type": "object",
                "required": ["image"],
                "additionalProperties": False,
                "properties": {"image": image, **properties},
            }
        }

    return {
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": body(file),
                "application/json": {**body(text), "example": {"image": _WHITE_PIXEL}},
            },
        }
    }


async def _read_form(request: Request, model: type[_Fields]) -> tuple[bytes, _Fields]:
    try:
        form = await request.form(max_files=1, max_fields=_FIELDS, max_part_size=_FIELD_BYTES)
    except (HTTPException, ValueError) as error:  # what the framework and its parser make of a broken form
        reason = error.detail if isinstance(error, HTTPException) else error
        raise InvalidRequest(
            f"body: not a form: {reason!s:.200}; allowed: multipart/form-data", param="body"
        ) from error
    try:
        image = form.get("image")
        if not isinstance(image, UploadFile):
            raise InvalidRequest("image: got no file; allowed: one, in the form's field image", param="image")
        fields = {name: value for name, value in form.multi_items() if name != "image" and isinstance(value, str)}
        return await image.read(), _check(model, fields)
    finally:
        await form.close()


async def _read_json(request: Request, model: type[_Fields]) -> tuple[bytes, _Fields]:
    body = dict((await read_json(request, _AnyObject)).model_extra or {})
    image = body.pop("image", None)
    if not isinstance(image, str):
        raise InvalidRequest.field("image", image, "an image file in base64, or a form with a file")
    try:
        content = base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest("image: not base64; allowed: an image file in base64", param="image") from error
    return content, _check(model, body)


class _AnyObject(BaseModel):
    model_config = ConfigDict(extra="allow")


def _check(model: type[_Fields], fields: Mapping[str, Any]) -> _Fields:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise explain(error, model) from error
