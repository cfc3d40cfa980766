"""Reading a request: its JSON as a checked model, its place in the application, its client's patience."""

import asyncio
import zlib
from collections.abc import Coroutine
from functools import partial
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from service.engine import Engine, SampleResult
from service.errors import Cancelled, InvalidRequest, TooLarge, UnsupportedMedia
from service.http_api import sliced_json
from service.http_api.departures import departure_of
from service.http_api.errors import STATUS
from service.http_api.whole_bodies import whole_body

ON_LOOP_BYTES = 64 << 10
"""Larger bodies are read in a thread."""
_Body = TypeVar("_Body", bound=BaseModel)
_Result = TypeVar("_Result")


def engine_of(request: Request) -> Engine:
    """The engine of the application that `request` came to."""
    engine: Engine = request.app.state.engine
    return engine


def note_model(request: Request, result: SampleResult) -> None:
    """Tell the outer layers which model answered, for metrics and log."""
    request.state.model, request.state.version = result.model.name, str(result.model.version)


def body_schema(model: type[BaseModel], example: dict[str, Any]) -> dict[str, Any]:
    """The `openapi_extra` of a route that reads its body with `read_json`."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": example}},
        }
    }


async def read_json(request: Request, model: type[_Body]) -> _Body:
    """The body as `model`, whatever its Content-Type says; an empty body is an empty object.

    Raises:
        InvalidRequest: not JSON, or a field is unknown or of the wrong type.
    """
    whole = whole_body(request.scope)
    body = await request.body() if whole is None else whole
    if len(body) <= ON_LOOP_BYTES:
        return parse(body or b"{}", model)
    return await engine_of(request).off_loop(partial(_parse_large, body, model))


def parse(body: bytes, model: type[_Body]) -> _Body:
    """JSON as `model`.

    Raises:
        InvalidRequest: see `read_json`.
    """
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise explain(error, model) from error


def _parse_large(body: bytes, model: type[_Body]) -> _Body:
    try:
        return model.model_validate(decode_large(body))
    except ValidationError as error:
        raise explain(error, model) from error


def decode_large(body: bytes) -> Any:
    """JSON as plain values, without holding up other threads.

    Raises:
        InvalidRequest: it is none.
    """
    try:
        return sliced_json.decode(body.decode())
    except (sliced_json.JsonError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"body: not JSON ({error}); allowed: a JSON object", param="body") from error


async def read_inflated(request: Request, limit: int) -> bytes:
    """The body with its Content-Encoding undone, at most `limit` bytes.

    Raises:
        TooLarge: it inflates beyond `limit`.
        UnsupportedMedia: another encoding than gzip or deflate.
        InvalidRequest: the compressed data is broken.
    """
    body = await request.body()
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "deflate"):
        raise UnsupportedMedia.field("Content-Encoding", encoding, "identity, gzip, deflate")
    return await engine_of(request).off_loop(partial(_inflate, body, encoding, limit))


def _inflate(body: bytes, encoding: str, limit: int) -> bytes:
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16 if encoding == "gzip" else zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(body, limit)
    except zlib.error as error:
        raise InvalidRequest(f"body: not {encoding} data: {error}", param="body") from error
    if inflater.unconsumed_tail or (not inflater.eof and len(inflated) >= limit):
        raise TooLarge(f"body: inflates to over {limit} bytes; allowed: up to {limit}", param="body")
    if not inflater.eof:
        raise InvalidRequest(f"body: not {encoding} data: it ends too early", param="body")
    return inflated


async def while_connected(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Await `work`, but cancel it when the client disconnects.

    Raises:
        Cancelled: the client went away.
    """
    task, departure = asyncio.current_task(), departure_of(request.scope)
    assert task is not None
    if departure is None:  # another server than latentd's own
        return await work
    if departure.gone:
        work.close()
        _give_up(request)
    departure.listen(task.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        if not departure.gone:
            raise
        task.uncancel()
        _give_up(request)
    finally:
        departure.listen(None)


def _give_up(request: Request) -> NoReturn:
    request.state.status = STATUS["cancelled"]
    raise Cancelled("the client went away") from None


def explain(error: ValidationError, model: type[BaseModel]) -> InvalidRequest:
    """The refusal of a body that is not a `model`: names the first field at fault, its value and what is allowed."""
    errors = error.errors(include_url=False)
    first = errors[0]
    if first["type"] == "json_invalid":
        return InvalidRequest(f"body: not JSON ({first['ctx']['error']}); allowed: a JSON object", param="body")
    if not first["loc"]:
        return InvalidRequest.field("body", first["input"], "a JSON object")
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return InvalidRequest.unknown(name, first["input"], model.model_fields)
    if first["type"] == "missing":
        return InvalidRequest(f"{name}: got nothing; allowed: a value, it is needed", param=name)
    field = first["loc"][0]  # a field of several types has an error for each of them
    allowed = [found["msg"].removeprefix("Input should be ") for found in errors if found["loc"][:1] == (field,)]
    return InvalidRequest.field(str(field), first["input"], " or ".join(dict.fromkeys(allowed)))
