"""What JSON answers look like, for the OpenAPI document: schema and example of each."""

from typing import Any

_COUNT = {"type": "integer", "minimum": 1}
_LABEL = {"type": ["integer", "null"], "description": "class index; null for models without classes, and for a grid"}
_SEED = {"type": ["integer", "null"], "description": "row seed; null where the latent was given"}
_FILE = {"type": "string", "contentEncoding": "base64", "description": "the encoded file"}
_NAMED = {
    "model": {"type": "string"},
    "version": _COUNT,
    "precision": {"enum": ["fp32", "fp16", "int8"]},
    "created": {"type": "integer", "description": "seconds since the epoch"},
}
_TEXTS = ("text/event-stream", "application/x-ndjson")
_BASE64 = "iVBORw0KGgo="


def _object(properties: dict[str, Any], *, optional: tuple[str, ...] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def _coded(media_type: str) -> dict[str, Any]:
    return {"type": "string"} if media_type in _TEXTS else {"type": "string", "format": "binary"}


def _answer(schema: dict[str, Any], example: dict[str, Any], *media_types: str) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route: JSON, and whatever else it answers with."""
    content: dict[str, Any] = {media_type: {"schema": _coded(media_type)} for media_type in media_types}
    return {200: {"content": {**content, "application/json": {"schema": schema, "example": example}}}}


def samples(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """Of the native calls that yield images, beside `media_types`."""
    image = _object({"seed": _SEED, "label": _LABEL, "b64_json": _FILE})
    schema = _object({**_NAMED, "data": {"type": "array", "items": image}})
    example = {
        "model": "digits-cgan",
        "version": 1,
        "precision": "int8",
        "created": 1767225600,
        "data": [{"seed": 7, "label": 3, "b64_json": _BASE64}],
    }
    return _answer(schema, example, *media_types)


def interpolations(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """Of `/v1/interpolations`."""
    position = {"type": ["number", "null"], "description": "0 to 1; null for one animation of all steps"}
    frame = _object({"position": position, "label": _LABEL, "b64_json": _FILE})
    seeds = {"from_seed": {"type": "integer"}, "to_seed": {"type": "integer"}}
    fields = {**_NAMED, **seeds, "mode": {"enum": ["slerp", "lerp"]}, "data": {"type": "array", "items": frame}}
    example = {
        "model": "digits-cgan",
        "version": 1,
        "precision": "int8",
        "created": 1767225600,
        "from_seed": 7,
        "to_seed": 8,
        "mode": "slerp",
        "data": [{"position": 0.0, "label": 3, "b64_json": _BASE64}],
    }
    return _answer(_object(fields), example, *media_types)


def openai_images(*media_types: str) -> dict[int | str, dict[str, Any]]:
    """Of `/v1/images/…`, with the fields of the OpenAI API and ours."""
    url = {"type": "string", "description": "a data: URL, where response_format is url"}
    image = _object({"seed": _SEED, "label": _LABEL, "b64_json": _FILE, "url": url}, optional=("b64_json", "url"))
    fields = {
        "created": _NAMED["created"],
        "data": {"type": "array", "items": image},
        "output_format": {"enum": ["png", "jpeg", "webp", "gif"]},
        "size": {"type": "string"},
        "model": {"type": "string", "description": "name@version"},
        "precision": _NAMED["precision"],
    }
    example = {
        "created": 1767225600,
        "data": [{"seed": 7, "label": 3, "b64_json": _BASE64}],
        "output_format": "png",
        "size": "28x28",
        "model": "digits-cgan@1",
        "precision": "int8",
    }
    return _answer(_object(fields), example, *media_types)


def inference() -> dict[int | str, dict[str, Any]]:
    """Of the inference protocol's `infer`."""
    output = _object(
        {
            "name": {"const": "images"},
            "datatype": {"const": "UINT8"},
            "shape": {"type": "array", "items": _COUNT},
            "data": {"type": "array", "items": {"type": "integer", "minimum": 0, "maximum": 255}},
            "parameters": {"type": "object"},
        },
        optional=("data", "parameters"),
    )
    fields = {
        "model_name": {"type": "string"},
        "model_version": {"type": "string"},
        "id": {},
        "parameters": {"type": "object"},
        "outputs": {"type": "array", "items": output},
    }
    example = {
        "model_name": "digits-cgan",
        "model_version": "1",
        "parameters": {"precision": "int8", "seed": 7},
        "outputs": [{"name": "images", "datatype": "UINT8", "shape": [1, 1, 1, 1], "data": [255]}],
    }
    return _answer(_object(fields, optional=("id",)), example, "application/octet-stream")
