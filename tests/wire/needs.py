"""What every route and every method needs of a key, written down by hand: a new one is refused until it is here."""

from service.access import Need

HTTP_NEEDS: dict[tuple[str, str], Need] = {
    ("GET", "/livez"): "nothing",
    ("GET", "/readyz"): "nothing",
    ("GET", "/v2/health/live"): "nothing",
    ("GET", "/v2/health/ready"): "nothing",
    ("GET", "/"): "key",
    ("GET", "/docs"): "key",
    ("GET", "/docs/oauth2-redirect"): "key",
    ("GET", "/openapi.json"): "key",
    ("GET", "/metrics"): "key",
    ("GET", "/v1/models"): "key",
    ("GET", "/v1/models/{name}"): "key",
    ("DELETE", "/v1/models/{name}"): "admin",
    ("POST", "/v1/samples"): "sample",
    ("POST", "/v1/interpolations"): "sample",
    ("POST", "/v1/reconstructions"): "sample",
    ("POST", "/v1/images/generations"): "sample",
    ("POST", "/v1/images/variations"): "sample",
    ("GET", "/v1/aliases"): "key",
    ("GET", "/v1/aliases/{alias}"): "key",
    ("PUT", "/v1/aliases/{alias}"): "admin",
    ("DELETE", "/v1/aliases/{alias}"): "admin",
    **{(method, "/v1/files"): "train" for method in ("GET", "POST")},
    **{(method, "/v1/files/{file_id}"): "train" for method in ("GET", "DELETE")},
    ("GET", "/v1/files/{file_id}/content"): "train",
    **{
        call: "train"
        for jobs in ("/v1/fine_tuning/jobs", "/v1/datasets")
        for call in (
            ("GET", jobs),
            ("POST", jobs),
            ("GET", f"{jobs}/{{job_id}}"),
            ("GET", f"{jobs}/{{job_id}}/events"),
            *(("POST", f"{jobs}/{{job_id}}/{wish}") for wish in ("cancel", "pause", "resume")),
        )
    },
    ("GET", "/v1/fine_tuning/jobs/{job_id}/checkpoints"): "train",
    ("POST", "/v1/fine_tuning/jobs/{job_id}/promote"): "admin",
    ("GET", "/v2"): "key",
    ("GET", "/v2/models/stats"): "key",
    ("POST", "/v2/repository/index"): "key",
    ("POST", "/v2/repository/models/{name}/load"): "admin",
    ("POST", "/v2/repository/models/{name}/unload"): "admin",
    **{
        ("GET", f"/v2/models/{{name}}{version}{what}"): "key"
        for version in ("", "/versions/{version}")
        for what in ("", "/ready", "/config", "/stats")
    },
    **{("POST", f"/v2/models/{{name}}{version}/infer"): "sample" for version in ("", "/versions/{version}")},
}
_INFERENCE: dict[Need, tuple[str, ...]] = {
    "nothing": ("ServerLive", "ServerReady"),
    "key": ("ModelReady", "ServerMetadata", "ModelMetadata", "ModelConfig", "ModelStatistics", "RepositoryIndex"),
    "sample": ("ModelInfer", "ModelStreamInfer"),
    "admin": ("RepositoryModelLoad", "RepositoryModelUnload"),
}
GRPC_NEEDS: dict[str, Need] = {
    "/latentd.v1.Generation/Sample": "sample",
    "/latentd.v1.Generation/SampleStream": "sample",
    "/latentd.v1.Generation/Interpolate": "sample",
    "/latentd.v1.Models/ListModels": "key",
    "/latentd.v1.Models/GetModel": "key",
    "/latentd.v1.Models/LoadModel": "admin",
    "/latentd.v1.Models/UnloadModel": "admin",
    "/latentd.v1.Models/ListAliases": "key",
    "/latentd.v1.Models/SetAlias": "admin",
    "/latentd.v1.Models/DeleteAlias": "admin",
    **{
        f"/latentd.v1.FineTuning/{method}": "train"
        for method in (
            "UploadFile",
            "CreateJob",
            "GetJob",
            "ListJobs",
            "CancelJob",
            "PauseJob",
            "ResumeJob",
            "WatchJob",
        )
    },
    **{f"/inference.GRPCInferenceService/{method}": need for need, methods in _INFERENCE.items() for method in methods},
    "/grpc.health.v1.Health/Check": "nothing",
    "/grpc.health.v1.Health/Watch": "nothing",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": "key",
}
