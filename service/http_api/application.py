"""The HTTP application: routers of the three API families, one error body per family, the layers around them."""

from difflib import get_close_matches
from functools import cache

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match
from starlette.types import ASGIApp, Scope

from runtime import __version__
from service.engine import Engine
from service.errors import Cancelled, Internal, MethodNotAllowed, NotFound, ServiceError
from service.files.file_store import FileStore
from service.http_api import (
    aliases,
    datasets,
    files,
    fine_tuning,
    inference,
    inference_repository,
    interpolations,
    native,
    openai,
    operations,
    reconstructions,
)
from service.http_api.browsers import BrowserGuard, BrowserPolicy
from service.http_api.errors import STATUS, error_response
from service.http_api.middleware import Authenticate, ByPath, LimitBody, Observe
from service.http_api.openapi_document import complete
from service.http_api.patience import Patience
from service.http_api.recording import Recorder
from service.http_api.shortcut import Shortcut
from service.jobs.desk import JobDesk
from service.keys import KeyFile
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.quotas import Quotas
from service.tracing import NO_TRACING, Tracing

_PATIENCE_S = 20.0
ROUTERS = (
    native.router,
    interpolations.router,
    reconstructions.router,
    aliases.router,
    openai.router,
    files.router,
    fine_tuning.router,
    datasets.router,
    inference_repository.router,  # before the next: /v2/models/stats is no model
    inference.router,
    operations.router,
)
"""Every route beside those of the documentation."""

_LONGEST_PATH = 80  # comparing a longer one with every other would cost seconds
_FORM_BYTES = 1 << 16  # of a form beside its file


def create_application(
    engine: Engine,
    lifecycle: Lifecycle,
    metrics: Metrics,
    keys: KeyFile,
    *,
    max_body_bytes: int,
    patience_s: float = _PATIENCE_S,
    quotas: Quotas | None = None,
    browsers: BrowserPolicy | None = None,
    tracing: Tracing = NO_TRACING,
    desk: JobDesk | None = None,
    file_store: FileStore | None = None,
) -> ASGIApp:
    """The ASGI application over one engine; without `desk` and `file_store` the routes of jobs answer 501.

    Outermost first: id, count, log and headers for browsers; foreign hosts and origins; key, scope and open requests;
    slow clients; size of the body; routes.
    """
    app = create_routes()
    app.state.engine = engine
    app.state.lifecycle = lifecycle
    app.state.metrics = metrics
    app.state.max_body_bytes = max_body_bytes
    app.state.desk, app.state.files = desk, file_store

    def exists(scope: Scope) -> bool:
        return any(route.matches(scope)[0] is Match.FULL for route in app.routes)

    policy = browsers or BrowserPolicy()
    routes = Shortcut(app, {("POST", "/v1/samples"): native.sample})
    limited: ASGIApp = LimitBody(routes, max_body_bytes, metrics)
    if file_store is not None:
        uploads = LimitBody(app, file_store.rules.limits.bytes + _FORM_BYTES, metrics)
        limited = ByPath({"/v1/files": uploads}, limited)
    guarded = Authenticate(Patience(limited, patience_s), keys, quotas or Quotas(metrics), exists)
    return Observe(BrowserGuard(guarded, policy, keys), Recorder(metrics, tracing), headers=policy.headers)


def create_routes() -> FastAPI:
    """Every route and its part of the OpenAPI document, without an engine behind them."""
    app = FastAPI(
        title="latentd",
        version=__version__,
        summary="Images from generative models, over HTTP and gRPC.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    app.add_exception_handler(ServiceError, _foreseen)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unforeseen)
    complete(app)
    return app


def _foreseen(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return error_response(request.url.path, error)


def _routing(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, which the framework itself finds."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 405:
        headers = error.headers or {}
        allowed = headers.get("Allow", "see /docs")
        refused = MethodNotAllowed(f"method: got {request.method} for {path}; allowed: {allowed}", param="method")
        response = error_response(path, refused)
        response.headers.update(headers)
        return response
    near = get_close_matches(path, _paths(), 1, 0.8) if len(path) <= _LONGEST_PATH else []
    advice = f" (did you mean {near[0]}?)" if near else ""
    return error_response(
        path, NotFound(f"path: got {request.method} {path}{advice}; allowed: see /docs", param="path")
    )


@cache
def _paths() -> list[str]:
    """Those of every route, without names of models and the like."""
    routes = [route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)]
    return sorted({route.path for route in routes if "{" not in route.path})


def _gone(request: Request, error: Exception) -> Response:
    """Nobody reads the answer to a body that broke off."""
    request.state.status = STATUS["cancelled"]
    return error_response(request.url.path, Cancelled("the client went away"))


def _unforeseen(request: Request, error: Exception) -> Response:
    """The answer to what nobody foresaw; the outermost layer logs it."""
    return error_response(request.url.path, Internal(request.state.request_id))
