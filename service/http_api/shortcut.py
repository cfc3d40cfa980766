"""The busiest calls go to their handlers straight away: routing and dependencies cost more than the rest of them."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import Cancelled
from service.http_api.errors import STATUS

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """As much of the application's own route as traces ask for."""

    path: str


class Shortcut:
    """Calls `handlers` by method and exact path; everything else, and all documentation, is the application's.

    A handler is the function of one of the application's own routes, takes nothing but the request and raises
    `ServiceError` for what is wrong with it, which an outer layer answers.
    """

    def __init__(self, app: FastAPI, handlers: Mapping[tuple[str, str], Handler]) -> None:
        self._app = app
        self._handlers = {key: (handler, Route(key[1])) for key, handler in handlers.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the class."""
        found = self._handlers.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if found is None:
            await self._app(scope, receive, send)
            return
        handler, route = found
        scope["app"], scope["route"] = self._app, route
        request = Request(scope, receive, send)
        try:
            response = await handler(request)
        except ClientDisconnect as error:  # within its body
            request.state.status = STATUS["cancelled"]
            raise Cancelled("the client went away") from error
        await response(scope, receive, send)
