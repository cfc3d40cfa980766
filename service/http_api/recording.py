"""What is written down of every HTTP request, whichever way it is answered: metrics, a line of the log, a span."""

import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Scope

from service.access_log import log_request
from service.http_api.permissions import needed
from service.http_api.raw_headers import header
from service.metrics import Metrics
from service.observation import Observation
from service.request_ids import request_id
from service.tracing import NO_TRACING, Tracing


class Recorder:
    """Where records go."""

    def __init__(self, metrics: Metrics, tracing: Tracing = NO_TRACING) -> None:
        self.metrics = metrics
        self.tracing = tracing


class Record:
    """One request, from its head to the end of its answer.

    Attributes:
        seen: what the layers below add to.
    """

    __slots__ = ("_api", "_recorder", "_scope", "_start", "seen")

    def __init__(self, recorder: Recorder, scope: Scope) -> None:
        self._start = time.perf_counter()
        self._recorder, self._scope = recorder, scope
        self._api = _api(scope["method"], scope["path"])
        self.seen = Observation(request_id(header(scope, b"x-request-id")))
        if recorder.tracing is not NO_TRACING and self._api != "operations":
            name = f"{scope['method']} {self._api}"
            self.seen.span = recorder.tracing.begin(name, Headers(scope=scope), self.seen.request_id)

    def end(self, code: str) -> None:
        """Count, log and trace it: `code` is the status that its client got."""
        seconds = time.perf_counter() - self._start
        scope, seen, api = self._scope, self.seen, self._api
        method, state = scope["method"], scope["state"]
        model, version = state.get("model", seen.model), state.get("version", seen.version)
        metrics = self._recorder.metrics
        metrics.requests_of(model, version, api, code).inc()
        metrics.request_seconds_of(api).observe(seconds)
        log_request(seen, api=api, method=method, path=scope["path"], code=code, seconds=seconds)
        if seen.span is not None:
            route = getattr(scope.get("route"), "path", None)
            attributes: dict[str, Any] = {
                "http.request.method": method,
                "http.response.status_code": int(code),
                "latentd.model": model,
                "latentd.rows": seen.rows,
            }
            if route is not None:
                attributes["http.route"] = route
            seen.span.end(f"{method} {route or api}", code, attributes)


def _api(method: str, path: str) -> str:
    if needed(method, path) == "nothing":
        return "operations"
    if path.startswith("/v2"):
        return "inference_http"
    if path.startswith("/v1/images"):
        return "openai"
    return "http" if path.startswith("/v1") else "operations"
