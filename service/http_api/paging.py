"""Cursor pages as OpenAI's API has them: ``after`` and ``limit`` in, ``has_more`` out."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from starlette.requests import Request

from service.errors import InvalidRequest
from service.http_api.answers import Paged

_Item = TypeVar("_Item", bound=Mapping[str, Any])


def query_integer(request: Request, name: str, default: int, least: int, most: int) -> int:
    """An integer of the query.

    Raises:
        InvalidRequest: it is none, or out of range.
    """
    given = request.query_params.get(name)
    if given is None:
        return default
    if not given.isascii() or not given.isdecimal() or len(given) > 9 or not least <= int(given) <= most:
        raise InvalidRequest.field(name, given, f"an integer from {least} to {most}")
    return int(given)


def page(items: Sequence[_Item], *, has_more: bool) -> Paged[_Item]:
    """The body of a page."""
    first, last = (items[0]["id"], items[-1]["id"]) if items else (None, None)
    return {"object": "list", "data": list(items), "first_id": first, "last_id": last, "has_more": has_more}


def page_schema(most: int, default: int, **others: str) -> dict[str, Any]:
    """The `openapi_extra` of a route that hands out pages; `others` are further parameters with what they mean."""
    parameters = [
        {"name": "after", "in": "query", "schema": {"type": "string"}, "description": "id of the last item seen"},
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": most, "default": default},
        },
        *(
            {"name": name, "in": "query", "schema": {"type": "string"}, "description": meaning}
            for name, meaning in others.items()
        ),
    ]
    return {"parameters": parameters}
