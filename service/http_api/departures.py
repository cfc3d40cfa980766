"""Clients that leave while they are worked for: told by the connection itself, which costs no task per request."""

from collections.abc import Callable

from starlette.types import Scope

_KEY = "latentd.departure"


class Departure:
    """Whether the client of a connection has left, and who is to hear of it; one request at a time listens."""

    def __init__(self) -> None:
        self.gone = False
        self._listener: Callable[[], object] | None = None

    def listen(self, listener: Callable[[], object] | None) -> None:
        """Call `listener` when the client leaves; None: nobody listens any more."""
        self._listener = listener

    def happened(self) -> None:
        """Called by the connection when it is lost."""
        self.gone = True
        if self._listener is not None:
            self._listener()


def keep_departure(scope: Scope, departure: Departure) -> None:
    """Called by the connection, before the application sees the request."""
    scope[_KEY] = departure


def departure_of(scope: Scope) -> Departure | None:
    """Of the request's connection; None where another server than latentd's own handed the request over."""
    found: Departure | None = scope.get(_KEY)
    return found
