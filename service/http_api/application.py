"""The HTTP application: routers of the three API families, one error body per family, the layers around them."""

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from runtime import __version__
from service.engine import Engine
from service.errors import Internal, MethodNotAllowed, NotFound, ServiceError
from service.http_api import inference, native, openai, operations
from service.http_api.errors import error_response
from service.http_api.middleware import Authenticate, LimitBody, Observe
from service.http_api.shortcut import Shortcut
from service.keys import KeyFile
from service.lifecycle import Lifecycle
from service.metrics import Metrics


def create_application(
    engine: Engine, lifecycle: Lifecycle, metrics: Metrics, keys: KeyFile, *, max_body_bytes: int
) -> ASGIApp:
    """The ASGI application over one engine."""
    app = FastAPI(
        title="latentd",
        version=__version__,
        summary="Images from generative models, over HTTP and gRPC.",
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        redoc_url=None,
    )
    app.state.engine = engine
    app.state.lifecycle = lifecycle
    app.state.metrics = metrics
    app.state.max_body_bytes = max_body_bytes
    for router in (native.router, openai.router, inference.router, operations.router):
        app.include_router(router)
    app.add_exception_handler(ServiceError, _foreseen)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(Exception, _unforeseen)
    quick = Shortcut(app, {("POST", "/v1/samples"): native.sample})
    return Observe(Authenticate(LimitBody(quick, max_body_bytes, metrics), keys), metrics)


def _foreseen(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return error_response(request.url.path, error)


def _routing(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, which the framework itself finds."""
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 405:
        refused = MethodNotAllowed(f"method: got {request.method} for {path}; allowed: see /docs", param="method")
        response = error_response(path, refused)
        response.headers.update(error.headers or {})
        return response
    return error_response(path, NotFound(f"path: got {request.method} {path}; allowed: see /docs", param="path"))


def _unforeseen(request: Request, error: Exception) -> Response:
    """The answer to what nobody foresaw; the outermost layer logs it."""
    return error_response(request.url.path, Internal(request.state.request_id))
