"""With one key in the state folder every call needs one with its scope, on both transports; probes need none.

Every route and every method there is goes through here: a new one is refused until somebody writes down what it needs.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runtime.store import DirectoryStore
from service.access import Need
from service.grpc_api._generated import (
    inference_open_inference_pb2,
    latentd_v1_fine_tuning_pb2,
    latentd_v1_generation_pb2,
    latentd_v1_models_pb2,
)
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.grpc_api.permissions import needed as needed_grpc
from service.http_api.application import ROUTERS, create_routes
from service.http_api.permissions import needed as needed_http
from service.keys import SCOPES, KeyFile, Scope
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

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


@dataclass(frozen=True)
class Guarded:
    """A server with a key for each scope."""

    server: ServerProcess
    http: str
    grpc: str
    keys: dict[Scope, str]
    state: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    root = tmp_path_factory.mktemp("access")
    publish_tiny(DirectoryStore(root / "models"), "tiny")
    file = KeyFile(root / "state")
    keys: dict[Scope, str] = {scope: file.create(scope, scopes=[scope]) for scope in SCOPES}
    with running_server(root / "models", root / "state", "--host", "0.0.0.0", "--log-level", "debug") as server:
        yield Guarded(
            server,
            server.http.replace("0.0.0.0", "127.0.0.1"),
            server.grpc.replace("0.0.0.0", "127.0.0.1"),
            keys,
            root / "state",
        )


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def routes() -> set[tuple[str, str]]:
    """Method and path of every route, those outside the OpenAPI document too."""
    own = [route for route in create_routes().routes if hasattr(route, "methods")]
    every = [*own, *(route for router in ROUTERS for route in router.routes)]
    return {
        (method, route.path)  # type: ignore[attr-defined]
        for route in every
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }


def methods() -> set[str]:
    files = (
        inference_open_inference_pb2,
        latentd_v1_generation_pb2,
        latentd_v1_models_pb2,
        latentd_v1_fine_tuning_pb2,
        health_pb2,
    )
    own = {
        f"/{service.full_name}/{method.name}"
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    return own | {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}


def test_the_need_of_every_route_and_method_is_written_down() -> None:
    assert routes() == set(HTTP_NEEDS)
    assert {call: needed_http(call[0], call[1]) for call in HTTP_NEEDS} == HTTP_NEEDS
    assert methods() == set(GRPC_NEEDS)
    assert {method: needed_grpc(method) for method in GRPC_NEEDS} == GRPC_NEEDS


def test_every_http_route_is_refused_without_the_right_key(guarded: Guarded) -> None:
    with httpx.Client(base_url=guarded.http, timeout=20) as client:
        for (method, template), need in HTTP_NEEDS.items():
            path = (
                template.replace("{name}", "tiny")
                .replace("{version}", "1")
                .replace("{alias}", "stable")
                .replace("{job_id}", "x")
                .replace("{file_id}", "x")
            )
            statuses = {"none": client.request(method, path).status_code}
            statuses["wrong"] = client.request(method, path, headers=bearer("lk_00000000_x")).status_code
            for scope, key in guarded.keys.items():
                if scope != need or "/unload" not in path:  # what is allowed is done
                    statuses[scope] = client.request(method, path, headers=bearer(key)).status_code
            if need == "nothing":
                assert set(statuses.values()) == {200}, (method, path)
                continue
            assert (statuses.pop("none"), statuses.pop("wrong")) == (401, 401), (method, path)
            for held, status in statuses.items():
                assert (status == 403) == (need not in ("key", held)), (method, path, held, status)
                assert status not in (401, 405, 500), (method, path, held, status)


def test_every_grpc_method_is_refused_without_the_right_key(guarded: Guarded) -> None:
    with grpc.insecure_channel(guarded.grpc) as opened:
        channel: Any = opened  # whose stubs want serializers for calls that take and yield bytes

        def code(method: str, key: str | None) -> grpc.StatusCode:
            metadata = (("authorization", f"Bearer {key}"),) if key else ()
            call = channel.stream_stream(method)(iter([b""]), metadata=metadata, timeout=5)
            try:
                next(call, None)
            except grpc.RpcError as error:
                return error.code()
            finally:
                call.cancel()
            return grpc.StatusCode.OK

        for method, need in GRPC_NEEDS.items():
            refusals = {code(method, None), code(method, "lk_00000000_x")}
            assert (refusals == {grpc.StatusCode.UNAUTHENTICATED}) == (need != "nothing"), (method, refusals)
            for scope, key in guarded.keys.items():
                found = code(method, key)
                denied = found is grpc.StatusCode.PERMISSION_DENIED
                assert denied == (need not in ("nothing", "key", scope)), (method, scope, found)


def test_a_path_or_method_that_does_not_exist_says_so_to_any_key(guarded: Guarded) -> None:
    with httpx.Client(base_url=guarded.http, headers=bearer(guarded.keys["sample"])) as client:
        assert client.post("/v1/chat/completions", json={}).status_code == 404
        assert client.delete("/v1/samples").status_code == 405
        assert client.patch("/v1/nothing").status_code == 404
    assert httpx.post(f"{guarded.http}/v1/chat/completions").status_code == 401


def test_a_refusal_says_which_key_would_do(guarded: Guarded) -> None:
    refused = httpx.put(f"{guarded.http}/v1/aliases/stable", headers=bearer(guarded.keys["sample"]), json={})
    assert refused.json()["error"]["type"] == "permission_error"
    assert "allowed: a key with scope admin" in refused.json()["error"]["message"]
    missing = httpx.get(f"{guarded.http}/v1/models")
    assert missing.headers["www-authenticate"] == "Bearer"
    assert missing.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("wrong", ["Bearer", "Bearer {}x", "Basic {}", "{}", "Bearer \xff", "Bearer {},{}"])
def test_what_is_no_bearer_of_a_key_is_refused(guarded: Guarded, wrong: str) -> None:
    value = wrong.format(*[guarded.keys["sample"]] * 2).encode("latin-1")
    answer = httpx.post(f"{guarded.http}/v1/samples", headers={b"Authorization": value})
    assert answer.status_code == 401


def test_grpc_takes_the_key_as_metadata_and_health_needs_none(guarded: Guarded) -> None:
    with grpc.insecure_channel(guarded.grpc) as channel:
        metadata = (("authorization", f"Bearer {guarded.keys['sample']}"),)
        assert GenerationStub(channel).Sample(SampleRequest(), metadata=metadata).images
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING


def test_revoked_and_expired_keys_are_refused_at_once_and_no_key_is_logged(guarded: Guarded) -> None:
    file = KeyFile(guarded.state)
    revoked, expired = file.create("short-lived"), file.create("over", expires=datetime(2020, 1, 1, tzinfo=UTC))
    assert httpx.get(f"{guarded.http}/v1/models", headers=bearer(revoked)).status_code == 200
    assert file.revoke(revoked.split("_")[1])
    for key, words in ((revoked, "not valid"), (expired, "expired at 2020-01-01T00:00:00Z")):
        answer = httpx.get(f"{guarded.http}/v1/models", headers=bearer(key))
        assert (answer.status_code, words in answer.text) == (401, True)
        with grpc.insecure_channel(guarded.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
            GenerationStub(channel).Sample(SampleRequest(), metadata=(("authorization", f"Bearer {key}"),))
        assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
    metrics = httpx.get(f"{guarded.http}/metrics", headers=bearer(guarded.keys["sample"])).text
    for secret in (*guarded.keys.values(), revoked, expired):
        for text in (guarded.server.log.read_text(), (guarded.state / "keys.json").read_text(), metrics):
            assert secret not in text
            assert secret.split("_", 2)[2] not in text  # a secret may hold that character, too


def test_the_time_of_a_check_does_not_tell_how_much_of_a_key_is_right(tmp_path: Path) -> None:
    """Keys that share all, half or nothing with a real one; medians of interleaved checks, as a ratio."""
    file = KeyFile(tmp_path)
    key = [file.create("a") for _ in range(20)][10]
    guesses = [key[:-1] + ("A" if key[-1] != "A" else "B"), key[:25] + "x" * (len(key) - 25), "x" * len(key)]

    def seconds(check: Callable[[], object]) -> float:
        start = time.perf_counter()
        check()
        return time.perf_counter() - start

    found: list[list[float]] = [[] for _ in guesses]
    for _ in range(2000):
        for times, guess in zip(found, guesses, strict=True):
            times.append(seconds(partial(file.find, guess)))
    medians = [statistics.median(times) for times in found]
    assert max(medians) / min(medians) < 1.1
