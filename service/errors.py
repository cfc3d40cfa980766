"""Every error a client can be answered with, free of any web framework.

::

    ServiceError                 `kind` is the word of the wire contract's error table
    ├─ InvalidRequest            a field is wrong: names it, the value and what is allowed
    │  ├─ TooLarge               a body over its limit
    │  └─ UnsupportedMedia       a body of a type that is not read
    ├─ Unauthenticated           no key, or one that is not valid
    ├─ PermissionDenied          a valid key without the scope, or a web page of another site
    ├─ NotFound                  no such model, version, alias or route
    ├─ Conflict                  what is there already forbids it
    ├─ MethodNotAllowed          the route exists, this method does not
    ├─ Busy                      come back in `retry_after_s` seconds
    │  ├─ Overloaded             the queue is full, or cannot meet the deadline
    │  ├─ RateLimited            this caller has had its share
    │  ├─ NotReady               still loading
    │  │  └─ StorageUnavailable  the job database is locked or gone
    │  │     └─ DiskFull         no room on the server's disk
    │  └─ Draining               shutting down
    ├─ DeadlineExceeded          the time the client gave has passed
    ├─ Cancelled                 the client went away
    ├─ Unimplemented             documented, but not by this server
    └─ Internal                  unforeseen; carries no inner text

Each transport owns one table from `kind` to its status; a test proves that every kind is in both.
"""

import difflib
import reprlib
from collections.abc import Collection, Iterator
from typing import ClassVar

_LONGEST_NAME = 80  # of a field that a client made up: comparing or repeating a longer one would cost seconds


class ServiceError(Exception):
    """An error that was foreseen; its text is written for the client.

    Attributes:
        kind: word of the wire contract's error table.
        param: the request field at fault, where there is one.
    """

    kind: ClassVar[str]

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class InvalidRequest(ServiceError):
    """A field whose value is not allowed."""

    kind = "invalid_request"

    @classmethod
    def field(cls, name: str, value: object, allowed: str) -> "InvalidRequest":
        """The message every refused field gets: its name, the value received, what is allowed."""
        return cls(f"{name}: got {_short(value)}; allowed: {allowed}", param=name)

    @classmethod
    def unknown(cls, name: str, value: object, known: Collection[str]) -> "InvalidRequest":
        """The message for a field that does not exist; a likely misspelling is pointed out."""
        near = difflib.get_close_matches(name, known, 1) if len(name) <= _LONGEST_NAME else []
        advice = f" (did you mean {near[0]}?)" if near else ""
        shown = name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"
        return cls(f"{shown}: unknown field, got {_short(value)}{advice}; allowed: {', '.join(known)}", param=shown)


class TooLarge(InvalidRequest):
    """A body over its size limit."""

    kind = "too_large"


class UnsupportedMedia(InvalidRequest):
    """A body in a type or encoding that is not read."""

    kind = "unsupported_media"


class Unauthenticated(ServiceError):
    """No API key, or one that is not valid."""

    kind = "unauthenticated"


class PermissionDenied(ServiceError):
    """The caller is known, and may not do this."""

    kind = "permission_denied"


class NotFound(ServiceError):
    """No such thing."""

    kind = "not_found"


class Conflict(ServiceError):
    """What is there already forbids it."""

    kind = "conflict"


class MethodNotAllowed(ServiceError):
    """The path exists, but not for this method."""

    kind = "method_not_allowed"


class Busy(ServiceError):
    """Cannot be answered now; `retry_after_s` is when to come back."""

    kind = "overloaded"

    def __init__(self, message: str, *, retry_after_s: float, param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.retry_after_s = retry_after_s


class Overloaded(Busy):
    """The queue is full, or its backlog is longer than the client can wait."""

    kind = "overloaded"


class RateLimited(Busy):
    """The caller has used up its images per second, or has too many requests open."""

    kind = "rate_limited"


class NotReady(Busy):
    """Models are still being loaded."""

    kind = "not_ready"


class StorageUnavailable(NotReady):
    """Nothing can be stored now: the database of jobs is locked, full or gone."""


class DiskFull(StorageUnavailable):
    """No room on the server's disk."""


class Draining(Busy):
    """The server is shutting down and takes no new work."""

    kind = "draining"


class DeadlineExceeded(ServiceError):
    """The time the client gave passed before the answer was ready."""

    kind = "deadline"


class Cancelled(ServiceError):
    """The client went away."""

    kind = "cancelled"


class Unimplemented(ServiceError):
    """Part of the contract that this server does not offer."""

    kind = "unimplemented"


class Internal(ServiceError):
    """Unforeseen; what happened is in the log under the request id."""

    kind = "internal"

    def __init__(self, request_id: str) -> None:
        super().__init__(f"internal error; quote request id {request_id} when you report it")


def all_kinds() -> Iterator[str]:
    """Every kind in the tree, for the tests of the transports' tables."""
    pending: list[type[ServiceError]] = [ServiceError]
    while pending:
        error = pending.pop()
        pending.extend(error.__subclasses__())
        if error is not ServiceError:
            yield error.kind


_REPR = reprlib.Repr()  # cuts while it writes: a value may be a list of millions
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 90
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 8


def _short(value: object) -> str:
    text = _REPR.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"
