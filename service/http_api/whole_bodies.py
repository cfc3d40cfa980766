"""Bodies that came together with their heads, as small ones do: nobody has to wait for them, nor to watch the clock."""

from starlette.types import Scope

_KEY = "latentd.body"


def keep_whole_body(scope: Scope, body: bytes) -> None:
    """Called by the connection, before the application sees the request."""
    scope[_KEY] = body


def whole_body(scope: Scope) -> bytes | None:
    """The body; None where its end had not come when the application was called. `receive` yields it all the same."""
    body: bytes | None = scope.get(_KEY)
    return body
