"""Around every gRPC call: an id, a key, a status for each error, a count."""

from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as Packed
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.engine import Engine
from service.errors import DeadlineExceeded, Draining, Overloaded, ServiceError
from service.grpc_api._generated.inference_open_inference_pb2 import ServerLiveRequest, ServerReadyRequest
from service.grpc_api._generated.inference_open_inference_pb2_grpc import GRPCInferenceServiceStub
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.metrics import Metrics
from tests.unit.service.grpc_api.conftest import Running
from tests.unit.service.parts import until, value_of


async def refused(running: Running, request: SampleRequest, **metadata: str) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await GenerationStub(running.channel).Sample(
            request, timeout=20, metadata=tuple((name.replace("_", "-"), value) for name, value in metadata.items())
        )
    return refusal.value


def trailing(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    metadata: Any = error.trailing_metadata() or ()
    return dict(metadata)


async def test_a_refusal_carries_the_field_and_the_request_id(running: Running) -> None:
    error = await refused(running, SampleRequest(n=0), x_request_id="quote-me")
    assert trailing(error)["x-request-id"] == "quote-me"
    status = Status.FromString(trailing(error)["grpc-status-details-bin"])
    detail = BadRequest()
    assert status.details[0].Unpack(detail)
    assert detail.field_violations[0].field == "n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Overloaded("full", retry_after_s=1.5), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (Draining("bye", retry_after_s=1.5), grpc.StatusCode.UNAVAILABLE),
        (DeadlineExceeded("late"), grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
)
async def test_every_refusal_has_its_status_and_the_busy_ones_a_time(
    error: ServiceError, code: grpc.StatusCode, running: Running, monkeypatch: pytest.MonkeyPatch, metrics: Metrics
) -> None:
    async def sample(self: Engine, request: object, model: object = None) -> None:
        raise error

    monkeypatch.setattr(Engine, "sample", sample)
    answer = await refused(running, SampleRequest())
    assert (answer.code(), answer.details()) == (code, error.message)
    status = Status.FromString(trailing(answer)["grpc-status-details-bin"])
    retry = RetryInfo()
    details: list[Packed] = list(status.details)
    if hasattr(error, "retry_after_s"):
        assert details[0].Unpack(retry)
        assert retry.retry_delay.ToMilliseconds() == 1500
    labels = {"model": "", "version": "", "api": "grpc", "code": code.name}
    await until(lambda: metrics.registry.get_sample_value("latentd_requests_total", labels) is not None)
    assert value_of(metrics, "latentd_requests_total", **labels) == 1


async def test_what_nobody_foresaw_is_answered_without_its_text(
    running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def sample(self: Engine, request: object, model: object = None) -> None:
        raise RuntimeError("the secret is 42")

    monkeypatch.setattr(Engine, "sample", sample)
    answer = await refused(running, SampleRequest(), x_request_id="quote-me")
    assert answer.code() is grpc.StatusCode.INTERNAL
    assert answer.details() == "internal error; quote request id quote-me when you report it"
    assert "the secret is 42" in caplog.text


async def test_with_a_key_every_call_but_the_probes_needs_it(running: Running) -> None:
    key = running.keys.create("a")
    inference = GRPCInferenceServiceStub(running.channel)
    assert (await inference.ServerLive(ServerLiveRequest())).live
    assert (await inference.ServerReady(ServerReadyRequest())).ready
    health = health_pb2_grpc.HealthStub(running.channel)
    assert (await health.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
    for metadata in ({}, {"authorization": "Bearer wrong"}, {"authorization": key}):
        assert (await refused(running, SampleRequest(), **metadata)).code() is grpc.StatusCode.UNAUTHENTICATED
    answer = await GenerationStub(running.channel).Sample(
        SampleRequest(), metadata=(("authorization", f"Bearer {key}"),)
    )
    assert len(answer.images) == 1


async def test_a_key_file_that_breaks_while_running_closes_the_server_and_tells_nobody_why(running: Running) -> None:
    running.keys.path.write_text("[{]")
    error = await refused(running, SampleRequest())
    assert error.code() is grpc.StatusCode.INTERNAL
    assert str(running.keys.path) not in (error.details() or "")


async def test_health_follows_the_lifecycle(running: Running) -> None:
    health = health_pb2_grpc.HealthStub(running.channel)
    running.lifecycle.draining = True
    await running.server.publish_health()
    for service in ("", "latentd.v1.Generation", "inference.GRPCInferenceService"):
        answer = await health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
