"""The gRPC server: native services, the inference protocol, health and reflection on one port."""

from typing import Any

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from service.engine import Engine
from service.files.file_store import FileStore
from service.grpc_api._generated import (
    inference_open_inference_pb2,
    inference_open_inference_pb2_grpc,
    latentd_v1_fine_tuning_pb2,
    latentd_v1_fine_tuning_pb2_grpc,
    latentd_v1_generation_pb2,
    latentd_v1_generation_pb2_grpc,
    latentd_v1_models_pb2,
    latentd_v1_models_pb2_grpc,
)
from service.grpc_api.calls import Observed
from service.grpc_api.fine_tuning import FineTuning
from service.grpc_api.generation import Generation
from service.grpc_api.inference import InferenceService
from service.grpc_api.models import Models
from service.grpc_api.tls import grpc_credentials
from service.jobs.desk import JobDesk
from service.keys import KeyFile
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.quotas import Quotas
from service.tls import CertificateFiles
from service.tracing import NO_TRACING, Tracing

_FILES = (
    latentd_v1_generation_pb2,
    latentd_v1_models_pb2,
    latentd_v1_fine_tuning_pb2,
    inference_open_inference_pb2,
    health_pb2,
)
SERVICES = tuple(service.full_name for file in _FILES for service in file.DESCRIPTOR.services_by_name.values())


class GrpcServer:
    """Owns the server object and the health service."""

    def __init__(
        self,
        engine: Engine,
        lifecycle: Lifecycle,
        metrics: Metrics,
        keys: KeyFile,
        *,
        max_body_bytes: int,
        patience_s: float | None = None,
        quotas: Quotas | None = None,
        certificates: CertificateFiles | None = None,
        tracing: Tracing = NO_TRACING,
        desk: JobDesk | None = None,
        files: FileStore | None = None,
    ) -> None:
        """`certificates` None listens without TLS; `desk` and `files` together make it serve `FineTuning`.

        Args:
            patience_s: longest pause of an upload; None is any.
        """
        self._lifecycle = lifecycle
        self._certificates = certificates
        self._server = grpc.aio.server(
            options=[
                ("grpc.so_reuseport", 0),  # a second server on the port must fail, not share it
                ("grpc.max_receive_message_length", max_body_bytes),
                ("grpc.max_send_message_length", -1),
                (
                    "grpc.server.max_pending_requests",
                    100_000,
                ),  # above 1,000 calls gRPC would cancel by itself
            ],
        )
        observed: Any = Observed(  # which does what the functions below ask of a server
            self._server, metrics, keys, quotas or Quotas(metrics), tracing, patience_s=patience_s
        )
        latentd_v1_generation_pb2_grpc.add_GenerationServicer_to_server(Generation(engine), observed)
        latentd_v1_models_pb2_grpc.add_ModelsServicer_to_server(Models(engine.registry), observed)
        inference_open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(
            InferenceService(engine, lifecycle), observed
        )
        if desk is not None and files is not None:
            latentd_v1_fine_tuning_pb2_grpc.add_FineTuningServicer_to_server(
                FineTuning(desk, files, lifecycle), observed
            )
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # its stubs miss the module
        health_pb2_grpc.add_HealthServicer_to_server(self._health, observed)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(
            reflection.aio.ReflectionServicer(  # type: ignore[attr-defined]  # not exported
                (*SERVICES, reflection.SERVICE_NAME), pool=_reflected()
            ),
            observed,
        )

    def bind(self, host: str, port: int) -> int:
        """Listen on `host:port`; returns the port, which matters for port 0.

        Raises:
            OSError: the address is in use or not this machine's.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._certificates is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, grpc_credentials(self._certificates)))
        except RuntimeError as error:  # grpc has no error class of its own for this
            raise OSError(f"cannot listen on {host}:{port}") from error

    async def start(self) -> None:
        """Take calls."""
        await self.publish_health()
        await self._server.start()

    async def publish_health(self) -> None:
        """Set the health of every service from the lifecycle (grpc.health.v1)."""
        serving = health_pb2.HealthCheckResponse.SERVING
        status = serving if self._lifecycle.ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in ("", *SERVICES):
            await self._health.set(service, serving if service == HEALTH else status)

    async def stop(self, grace_s: float) -> None:
        """Refuse new calls, let running ones end within `grace_s`."""
        await self._server.stop(grace_s)


def _reflected() -> DescriptorPool:
    """A pool with everything that reflection describes: our private one has no health messages."""
    pool = DescriptorPool()
    for file in (*_FILES, reflection_pb2):
        pool.AddSerializedFile(file.DESCRIPTOR.serialized_pb)
    return pool
