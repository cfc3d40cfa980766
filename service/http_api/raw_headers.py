"""One header of a request, for the layers that every request passes: the list of pairs is searched once for all."""

from collections.abc import Iterable, KeysView

from starlette.types import Scope

Pairs = Iterable[tuple[bytes, bytes]]
"""Names in lower case, and values."""

_KEY = "latentd.headers"


def header(scope: Scope, name: bytes) -> str | None:
    """The first value of header `name`, which is in lower case; None where it is absent."""
    value = _by_name(scope).get(name)
    return None if value is None else value.decode("latin-1")


def names(scope: Scope) -> KeysView[bytes]:
    """Of all headers, in lower case."""
    return _by_name(scope).keys()


def listed(scope: Scope, name: bytes) -> str:
    """All values of a header that is a list, as one list (RFC 9110 §5.3); empty where it is absent."""
    return b", ".join([value for each, value in scope["headers"] if each == name]).decode("latin-1")


def _by_name(scope: Scope) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] | None = scope.get(_KEY)
    if found is None:
        found = scope[_KEY] = dict(reversed(scope["headers"]))
    return found
