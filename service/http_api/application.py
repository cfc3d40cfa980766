"""The HTTP application: routers of the three API families, one error body per family, the layers around them."""

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from runtime import __version__
from service.engine import Engine
from service.errors import Internal, MethodNotAllowed, NotFound, ServiceError
from service.files.file_store import FileStore
from service.http_api import datasets, files, fine_tuning, inference, native, openai, operations
from service.http_api.errors import error_response
from service.http_api.middleware import Authenticate, ByPath, LimitBody, Observe
from service.jobs.desk import JobDesk
from service.keys import KeyFile
from service.lifecycle import Lifecycle
from service.metrics import Metrics

_FORM_BYTES = 1 << 16  # of a form beside its file


def create_application(
    engine: Engine,
    lifecycle: Lifecycle,
    metrics: Metrics,
    keys: KeyFile,
    *,
    max_body_bytes: int,
    desk: JobDesk | None = None,
    file_store: FileStore | None = None,
) -> ASGIApp:
    """The ASGI application over one engine; without `desk` and `file_store` the routes of jobs answer 501."""
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
    app.state.desk, app.state.files = desk, file_store
    for module in (native, openai, files, fine_tuning, datasets, inference, operations):
        app.include_router(module.router)
    app.add_exception_handler(ServiceError, _foreseen)
    app.add_exception_handler(HTTPException, _routing)
    app.add_exception_handler(Exception, _unforeseen)
    limited: ASGIApp = LimitBody(app, max_body_bytes, metrics)
    if file_store is not None:
        uploads = LimitBody(app, file_store.rules.limits.bytes + _FORM_BYTES, metrics)
        limited = ByPath({"/v1/files": uploads}, limited)
    return Observe(Authenticate(limited, keys), metrics)


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
