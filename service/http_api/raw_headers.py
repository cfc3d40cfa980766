"""One header of a request, for the layers that every request passes: the list of pairs is searched once for all."""

from starlette.types import Scope

_KEY = "latentd.headers"


def header(scope: Scope, name: bytes) -> str | None:
    """The first value of header `name`, which is in lower case; None where it is absent."""
    found = scope.get(_KEY)
    if found is None:
        found = scope[_KEY] = dict(reversed(scope["headers"]))
    value: bytes | None = found.get(name)
    return None if value is None else value.decode("latin-1")
