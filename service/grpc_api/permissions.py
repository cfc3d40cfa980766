"""What each gRPC call needs. What no line names is for administrators: a new method cannot be left open."""

from service.access import Need

_SERVICES: dict[str, Need] = {
    "grpc.health.v1.Health": "nothing",
    "grpc.reflection.v1alpha.ServerReflection": "key",
    "latentd.v1.Generation": "sample",
    "latentd.v1.FineTuning": "train",
}
_METHODS: dict[str, Need] = {
    "/inference.GRPCInferenceService/ServerLive": "nothing",
    "/inference.GRPCInferenceService/ServerReady": "nothing",
    "/inference.GRPCInferenceService/ModelReady": "key",
    "/inference.GRPCInferenceService/ServerMetadata": "key",
    "/inference.GRPCInferenceService/ModelMetadata": "key",
    "/inference.GRPCInferenceService/ModelConfig": "key",
    "/inference.GRPCInferenceService/ModelStatistics": "key",
    "/inference.GRPCInferenceService/RepositoryIndex": "key",
    "/inference.GRPCInferenceService/ModelInfer": "sample",
    "/inference.GRPCInferenceService/ModelStreamInfer": "sample",
    "/latentd.v1.Models/ListModels": "key",
    "/latentd.v1.Models/GetModel": "key",
    "/latentd.v1.Models/ListAliases": "key",
}


def needed(method: str) -> Need:
    """What the call ``/package.Service/Method`` needs."""
    service = method.removeprefix("/").partition("/")[0]
    return _METHODS.get(method) or _SERVICES.get(service, "admin")
