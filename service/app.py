"""The composition root: builds every part, starts them in order, stops them in the reverse.

Stopping: not ready → a short notice for load balancers → refuse new work → drain → close.
"""

import asyncio
import contextlib
import gc
import json
import logging
import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry

from runtime.atomic import write_atomic
from runtime.providers import check_onnxruntime
from runtime.store import DirectoryStore
from service.access import check_exposure
from service.aliases import AliasTable
from service.batcher import Batcher
from service.disks import watch_disks
from service.engine import Engine
from service.gpus import watch_gpus
from service.grpc_api.server import GrpcServer
from service.http_api.application import create_application
from service.http_api.browsers import BrowserPolicy
from service.http_api.connections import connections
from service.http_api.express import Express
from service.http_api.recording import Recorder
from service.jobs.assembly import JobParts, assemble
from service.jobs.crew import JobCrew
from service.jobs.desk import JobDesk
from service.jobs.intake import Intake
from service.keys import KeyFile
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.quotas import Quotas
from service.registry import Registry
from service.settings import Settings, SettingsError
from service.tls import CertificateFiles, ReloadingContext
from service.tracing import NO_TRACING, Tracing
from service.trials import Trials

_LOG = logging.getLogger("latentd")
_STOPPING = (signal.SIGTERM, signal.SIGINT)
_BACKLOG = 2048
_COLLECTED_AFTER = (20_000, 20, 20)  # objects made and not freed: requests make hardly any cycles
_FIRST_KEY_S = 0.05  # how long the first key may go unnoticed: a look at the file is a tenth of a small request


class _HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: this process has its own order of stopping."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(frozen=True)
class _Core:
    """What both transports stand on."""

    tracing: Tracing
    metrics: Metrics
    quotas: Quotas
    batcher: Batcher
    registry: Registry
    lifecycle: Lifecycle
    engine: Engine
    parts: JobParts
    desk: JobDesk


@dataclass(frozen=True)
class _Server:
    """Every part, built and listening, not yet serving."""

    settings: Settings
    core: _Core
    http: _HttpServer
    http_socket: socket.socket
    grpc: GrpcServer
    grpc_port: int
    jobs: JobCrew


async def serve(settings: Settings) -> None:
    """Run the server until SIGTERM or SIGINT.

    Raises:
        SettingsError: it must not or cannot listen as told.
        RuntimeError: onnxruntime is missing or installed twice; tracing is wanted but not installed.
    """
    check_onnxruntime()
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in _STOPPING:
        loop.add_signal_handler(name, stop.set)
    server = _build(settings)
    await server.grpc.start()
    http = asyncio.create_task(server.http.serve(sockets=[server.http_socket]))
    http.add_done_callback(lambda _: stop.set())  # without HTTP there is nothing to stay for
    await _load(server)
    server.jobs.start()
    poll = asyncio.create_task(server.core.registry.poll(settings.poll_seconds)) if settings.poll_seconds else None
    await stop.wait()
    await _stop(server, http, poll)
    for name in _STOPPING:  # all is done; one more must not make it look like a failure
        loop.remove_signal_handler(name)
        signal.signal(name, signal.SIG_IGN)


def _build(settings: Settings) -> _Server:
    """Check that this server may and can listen, and make its parts."""
    try:
        settings.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"setting state: {settings.state} cannot be made: {error.strerror}") from error
    keys = KeyFile(settings.state, look_every_s=_FIRST_KEY_S)
    check_exposure(settings, keys)
    certificates = CertificateFiles.of(settings)
    core = _build_core(settings)
    http = _build_http(settings, core, keys, certificates)
    http_socket = _listen(settings.host, settings.http_port)
    grpc = GrpcServer(
        core.engine,
        core.lifecycle,
        core.metrics,
        keys,
        max_body_bytes=settings.max_body_bytes,
        patience_s=settings.patience_seconds,
        quotas=core.quotas,
        certificates=certificates,
        tracing=core.tracing,
        desk=core.desk,
        files=core.parts.files,
    )
    try:
        grpc_port = grpc.bind(settings.host, settings.grpc_port)
    except OSError as error:
        raise SettingsError(f"setting grpc_port: {error}; is another server running?") from error
    return _Server(settings, core, http, http_socket, grpc, grpc_port, JobCrew(settings, core.parts, core.metrics))


def _build_core(settings: Settings) -> _Core:
    tracing = _open_tracing(settings)
    metrics = Metrics(CollectorRegistry())
    watch_disks(metrics, {"state": settings.state, "store": settings.store})
    watch_gpus(metrics)
    quotas = Quotas(
        metrics, images_per_second=settings.images_per_second, concurrent_requests=settings.concurrent_requests
    )
    batcher = Batcher(
        metrics,
        threads=settings.inference_threads,
        queue_limit=settings.queue_limit,
        batch_s=settings.batch_ms / 1000,
        max_batch=settings.max_batch,
        delay_s=settings.batch_delay_ms / 1000,
        tracing=tracing,
    )
    aliases = AliasTable(settings.state / "aliases.json")
    store = DirectoryStore(settings.store)
    registry = Registry(
        store,
        batcher,
        metrics,
        settings.default_model,
        aliases,
        trials=Trials(settings.state / "tried.json"),
        wide_threads=settings.inference_threads,
    )
    engine = Engine(
        registry,
        batcher,
        metrics,
        max_images=settings.max_images,
        max_stream_images=settings.max_stream_images,
        max_output_bytes=settings.max_output_bytes,
        timeout_s=settings.timeout_ms / 1000,
        quotas=quotas,
    )
    parts = assemble(settings)
    desk = JobDesk(Intake(registry, store, parts.files, parts.jobs), parts.jobs, registry)
    return _Core(tracing, metrics, quotas, batcher, registry, Lifecycle(registry), engine, parts, desk)


def _build_http(settings: Settings, core: _Core, keys: KeyFile, certificates: CertificateFiles | None) -> _HttpServer:
    browsers = BrowserPolicy(
        frozenset(name.lower() for name in settings.allowed_hosts) if settings.allowed_hosts is not None else None,
        frozenset(origin.lower() for origin in settings.cors_origins or ()),
    )
    recorder = Recorder(core.metrics, core.tracing)
    express = Express(core.engine, recorder, keys, core.quotas, browsers, max_body_bytes=settings.max_body_bytes)
    application = create_application(
        core.engine,
        core.lifecycle,
        core.metrics,
        keys,
        max_body_bytes=settings.max_body_bytes,
        patience_s=settings.patience_seconds,
        quotas=core.quotas,
        browsers=browsers,
        tracing=core.tracing,
        desk=core.desk,
        file_store=core.parts.files,
    )
    return _HttpServer(
        uvicorn.Config(
            application,
            http=connections(settings.patience_seconds, express),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=int(settings.drain_seconds),
            ssl_context_factory=None if certificates is None else lambda *_: ReloadingContext.over(certificates),
        )
    )


def _open_tracing(settings: Settings) -> Tracing:
    """Tracing as the settings say; the OpenTelemetry SDK is loaded only where it is on."""
    if settings.trace_endpoint is None:
        return NO_TRACING
    try:
        from service.otlp_tracing import OtlpTracing
    except ImportError as error:
        raise RuntimeError(
            f"setting trace_endpoint: tracing needs latentd[tracing], which is not installed ({error.name} is missing)"
        ) from error
    return OtlpTracing(settings.trace_endpoint, settings.trace_ratio)


async def _load(server: _Server) -> None:
    """Load the store's models, then say where the server is and whether it is ready."""
    settings = server.settings
    try:
        await server.core.registry.refresh()
    except OSError as error:
        raise SettingsError(f"setting store: {settings.store} cannot be read: {error.strerror}") from error
    server.core.registry.on_change(lambda: _keep(asyncio.ensure_future(server.grpc.publish_health())))
    await server.grpc.publish_health()
    http_port = server.http_socket.getsockname()[1]
    _announce(settings, _address(settings.host, http_port), _address(settings.host, server.grpc_port))
    if not server.core.lifecycle.ready:
        _LOG.warning("not ready: %s", server.core.lifecycle.reason)
    gc.collect()
    gc.freeze()  # what is there now stays: the collector need not look at it again and again
    gc.set_threshold(*_COLLECTED_AFTER)


async def _stop(server: _Server, http: "asyncio.Task[None]", poll: "asyncio.Task[None] | None") -> None:
    """Stop in the order that the module's docstring gives."""
    settings = server.settings
    _LOG.info("stopping: finishing what is in flight")
    server.core.lifecycle.draining = True
    server.jobs.stop()  # processes begin to save
    await server.grpc.publish_health()
    await asyncio.sleep(settings.drain_notice_seconds)
    if poll is not None:
        poll.cancel()
    server.http.should_exit = True
    await asyncio.gather(http, server.grpc.stop(settings.drain_seconds))
    await server.core.batcher.close()
    server.core.engine.close()
    await server.jobs.closed()
    await asyncio.to_thread(server.core.tracing.close)
    (settings.state / "server.json").unlink(missing_ok=True)
    _LOG.info("stopped")


_background: set["asyncio.Future[None]"] = set()


def _keep(future: "asyncio.Future[None]") -> None:
    """Hold a reference until it is done: the event loop itself keeps none."""
    _background.add(future)
    future.add_done_callback(_background.discard)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"setting http_port: cannot listen on {_address(host, port)}: {error.strerror}; is another server running?"
        ) from error
    listener.listen(_BACKLOG)
    return listener


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _announce(settings: Settings, http: str, grpc_address: str) -> None:
    """Tell people on the log and programs in `<state>/server.json` where the server is."""
    scheme = "http" if settings.tls_certificate is None else "https"
    _LOG.info("HTTP on %s://%s (docs at /docs), gRPC on %s, models from %s", scheme, http, grpc_address, settings.store)
    content = {"pid": os.getpid(), "http": f"{scheme}://{http}", "grpc": grpc_address}
    write_atomic(Path(settings.state) / "server.json", (json.dumps(content) + "\n").encode())
