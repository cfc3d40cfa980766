"""Health in three dialects, and gRPC reflection, asked by stock clients."""

import grpc
import httpx
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

SERVICES = {
    "latentd.v1.Generation",
    "latentd.v1.FineTuning",
    "latentd.v1.Models",
    "inference.GRPCInferenceService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
}


def test_http_probes(http: httpx.Client) -> None:
    assert http.get("/livez").status_code == 200
    ready = http.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "models": ["plain@1", "tiny@1"]})
    assert http.get("/v2/health/live").status_code == 200
    assert http.get("/v2/health/ready").status_code == 200


def test_grpc_health_of_every_service(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "latentd.v1.Generation", "inference.GRPCInferenceService"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_reflection_lists_and_describes_the_services(channel: grpc.Channel) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)

    def ask(request: reflection_pb2.ServerReflectionRequest) -> reflection_pb2.ServerReflectionResponse:
        return next(stub.ServerReflectionInfo(iter([request])))

    listed = ask(reflection_pb2.ServerReflectionRequest(list_services=""))
    assert {service.name for service in listed.list_services_response.service} == SERVICES
    for symbol, method in (
        ("latentd.v1.Generation", "Sample"),
        ("inference.GRPCInferenceService", "ModelInfer"),
        ("grpc.health.v1.Health", "Check"),
    ):
        answer = ask(reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol))
        file = FileDescriptorProto.FromString(answer.file_descriptor_response.file_descriptor_proto[0])
        assert method in {entry.name for service in file.service for entry in service.method}
