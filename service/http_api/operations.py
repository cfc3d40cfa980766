"""Probes, metrics and the front page."""

import asyncio
from importlib.resources import files

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.http_api.answers import Alive, NotReady, Ready
from service.http_api.requests import engine_of
from service.lifecycle import Lifecycle

router = APIRouter(tags=["operations"])


@router.get("/livez", summary="Liveness")
async def livez() -> Alive:
    """200 while the process answers."""
    return {"status": "live"}


@router.get(
    "/readyz",
    summary="Readiness",
    response_model=Ready,
    responses={503: {"description": "Not ready, with the reason.", "model": NotReady}},
)
async def readyz(request: Request) -> JSONResponse:
    """200 once models are warm; 503 with the reason before that and while shutting down."""
    lifecycle: Lifecycle = request.app.state.lifecycle
    if not lifecycle.ready:
        return JSONResponse({"status": "not ready", "reason": lifecycle.reason}, 503, {"Retry-After": "1"})
    served = [model.manifest.reference for model in engine_of(request).registry.served()]
    return JSONResponse({"status": "ready", "models": served})


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(request: Request) -> Response:
    """Prometheus text format; written off the event loop, since some values are asked of disks and drivers."""
    content = await asyncio.to_thread(generate_latest, request.app.state.metrics.registry)
    return Response(content, media_type=CONTENT_TYPE_LATEST)


@router.get("/", include_in_schema=False)
async def page() -> HTMLResponse:
    """A page that shows what the models draw."""
    return HTMLResponse(files("service.http_api").joinpath("page.html").read_text("utf-8"))
