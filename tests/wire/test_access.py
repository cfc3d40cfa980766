"""With one key in the state folder every call needs one, on both transports; probes do not."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.keys import KeyFile
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ServerProcess, str, Path]]:
    root = tmp_path_factory.mktemp("access")
    publish_tiny(DirectoryStore(root / "models"), "tiny")
    key = KeyFile(root / "state").create("test")
    with running_server(root / "models", root / "state", "--host", "0.0.0.0", "--log-level", "debug") as server:
        yield server, key, root / "state"


def test_http(guarded: tuple[ServerProcess, str, Path]) -> None:
    server, key, _ = guarded
    url = server.http.replace("0.0.0.0", "127.0.0.1")
    with httpx.Client(base_url=url) as client:
        for path in ("/v1/models", "/v2", "/v2/models/tiny", "/metrics", "/docs", "/openapi.json", "/"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"] == "Bearer"
            assert client.get(path, headers={"Authorization": f"Bearer {key}"}).status_code == 200, path
        for probe in ("/livez", "/readyz", "/v2/health/live", "/v2/health/ready"):
            assert client.get(probe).status_code == 200, probe
        for wrong in ("Bearer", f"Bearer {key}x", f"Basic {key}", f"Bearer {key[:-1]}", "Bearer \xff"):
            headers = {"Authorization": wrong.encode("latin-1")}
            assert client.post("/v1/samples", headers=headers).status_code == 401, wrong  # type: ignore[arg-type]


def test_grpc(guarded: tuple[ServerProcess, str, Path]) -> None:
    server, key, _ = guarded
    with grpc.insecure_channel(server.grpc.replace("0.0.0.0", "127.0.0.1")) as channel:
        stub = GenerationStub(channel)
        for metadata in ((), (("authorization", f"Bearer {key}x"),)):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Sample(SampleRequest(), metadata=metadata)
            assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert stub.Sample(SampleRequest(), metadata=(("authorization", f"Bearer {key}"),)).images
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        assert health.status == health_pb2.HealthCheckResponse.SERVING


def test_a_revoked_key_is_refused_at_once_and_no_key_is_logged(guarded: tuple[ServerProcess, str, Path]) -> None:
    server, key, state = guarded
    url = server.http.replace("0.0.0.0", "127.0.0.1")
    keys = KeyFile(state)
    second = keys.create("short-lived")
    headers = {"Authorization": f"Bearer {second}"}
    assert httpx.get(f"{url}/v1/models", headers=headers).status_code == 200
    assert keys.revoke(second.split("_")[1])
    assert httpx.get(f"{url}/v1/models", headers=headers).status_code == 401
    for secret in (key, second):
        assert secret not in server.log.read_text()
        assert secret not in (state / "keys.json").read_text()
