"""The express way of small sample requests: from the connection to the batcher and back, without ASGI and tasks.

It takes what the long way would answer with a few images at once, and nothing else: whatever is refused before it is
queued, larger, streamed, or subject to a layer that is not here, goes the long way, which is that of
`service.http_api.application`. Both use the same checks and renderers, and their answers are the same bytes.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from starlette.responses import Response
from starlette.types import Scope

from service.access import admit
from service.engine import ON_LOOP_ROWS, Engine, SampleResult
from service.errors import Internal, ServiceError
from service.http_api.browsers import BrowserPolicy
from service.http_api.errors import STATUS, error_response
from service.http_api.native import SampleBody
from service.http_api.negotiation import Answer, Layout, choose
from service.http_api.raw_headers import Pairs, header, listed, names
from service.http_api.recording import Record, Recorder
from service.http_api.rendering import check_layout, is_quick, render
from service.http_api.requests import parse
from service.http_api.shortcut import Route
from service.keys import KeyFile
from service.quotas import Quotas
from service.sampling import SampleRequest
from service.served_models import ServedModel

_LOG = logging.getLogger(__name__)
METHOD, PATH = "POST", "/v1/samples"
_ROUTE = Route(PATH)
LARGEST_BODY = 4 << 10
"""Bytes; larger bodies carry latents or many seeds."""
_OF_OTHERS = frozenset({b"origin", b"x-forwarded-proto", b"x-forwarded-for"})
"""Headers that change what layers of the long way do, which are not here."""


class Errand(Protocol):
    """A connection that waits for the answer to one request."""

    def answer(self, status: int, headers: Pairs, content: bytes) -> None:
        """Send the answer, the only one; nothing where the client has left."""

    def when_left(self, listener: Callable[[], object]) -> None:
        """Call `listener` if the client leaves before it is answered."""


@dataclass(frozen=True, slots=True)
class _Order:
    """A request that has passed every check of the transport."""

    request: SampleRequest
    model: ServedModel
    answer: Answer
    layout: Layout
    key_id: str


class Express:
    """The way to one engine; see the module."""

    def __init__(
        self,
        engine: Engine,
        recorder: Recorder,
        keys: KeyFile,
        quotas: Quotas,
        policy: BrowserPolicy,
        *,
        max_body_bytes: int,
    ) -> None:
        self.engine = engine
        self.recorder = recorder
        self.policy = policy
        self._keys = keys
        self._quotas = quotas
        self._max_body_bytes = min(LARGEST_BODY, max_body_bytes)

    def take(self, scope: Scope, body: bytes, errand: Errand) -> bool:
        """Answer the request, now or later; False: it has to go the long way, and nothing has been done.

        Args:
            scope: as of ASGI, with the method `METHOD` and the path `PATH`.
        """
        try:
            order = self._order(scope, body)
        except ServiceError:  # which the long way meets as well, and tells the client
            return False
        except Exception:  # noqa: BLE001 - likewise, if it is not a fault of this way alone
            _LOG.warning("a request goes the long way", exc_info=True)
            return False
        if order is None:
            return False
        _Passage(self, scope, order, errand).begin()
        return True

    def _order(self, scope: Scope, body: bytes) -> _Order | None:
        """What is ordered, by the checks of the long way in their order; None where it is not for here."""
        if len(body) > self._max_body_bytes or not _OF_OTHERS.isdisjoint(names(scope)):
            return None
        self.policy.check_host(header(scope, b"host"), keyed=self._keys.needed)
        caller = admit(header(scope, b"authorization"), "sample", self._keys)
        if self._quotas.limits(caller):
            return None
        fields = parse(body or b"{}", SampleBody)
        n = len(fields.seeds or (0,)) if fields.n is None else fields.n
        if fields.stream or fields.latents is not None or not 0 < n <= ON_LOOP_ROWS:
            return None
        answer = choose(listed(scope, b"accept"), fields.format)
        model = self.engine.registry.find(fields.model)
        if model is None or answer.file_format == "gif" or not is_quick(answer, n * model.image_bytes):
            return None
        return _Order(fields.to_request(), model, answer, check_layout(fields.layout, n, answer), caller.key_id)


class _Passage:
    """One request on its way."""

    __slots__ = ("_errand", "_express", "_order", "_over", "_record", "_scope")

    def __init__(self, express: Express, scope: Scope, order: _Order, errand: Errand) -> None:
        self._express, self._scope, self._order, self._errand = express, scope, order, errand
        scope["route"] = _ROUTE
        self._record = Record(express.recorder, scope)
        self._record.seen.key_id = order.key_id
        self._over = False

    def begin(self) -> None:
        """Queue the images."""
        order, seen = self._order, self._record.seen
        try:
            withdraw = self._express.engine.submit(order.request, order.model, self._told, seen=seen)
        except Exception as error:  # noqa: BLE001 - the outer boundary of a request
            self._told(error)
            return
        if not self._over:
            self._errand.when_left(partial(self._left, withdraw))

    def _told(self, outcome: SampleResult | Exception) -> None:
        response = self._refusal(outcome) if isinstance(outcome, Exception) else self._rendered(outcome)
        seen = self._record.seen
        headers = (
            *response.raw_headers,
            (b"x-request-id", seen.request_id.encode()),
            *self._express.policy.headers(self._scope),
        )
        self._over = True
        self._errand.answer(response.status_code, headers, bytes(response.body))
        self._record.end(str(response.status_code))

    def _rendered(self, result: SampleResult) -> Response:
        order = self._order
        try:
            return self._express.engine.encode_here(lambda: render(result, order.answer, order.layout))
        except Exception as error:  # noqa: BLE001 - the outer boundary of a request
            return self._refusal(error)

    def _refusal(self, error: Exception) -> Response:
        if isinstance(error, ServiceError):
            return error_response(PATH, error)
        request_id = self._record.seen.request_id
        _LOG.error("request %s failed", request_id, exc_info=error)
        return error_response(PATH, Internal(request_id))

    def _left(self, withdraw: Callable[[], None]) -> None:
        withdraw()
        self._record.end(str(STATUS["cancelled"]))
