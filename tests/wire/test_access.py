"""With one key in the state folder every call needs one with its scope, on both transports; probes need none.

Every route and every method there is goes through here, with every kind of key that is refused: see `tests.wire.needs`.
"""

import re
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.grpc_api.permissions import needed as needed_grpc
from service.http_api.application import ROUTERS, create_routes
from service.http_api.permissions import needed as needed_http
from service.keys import SCOPES, KeyFile, Scope
from tests.kit.proto_modules import all_methods
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny
from tests.wire.needs import GRPC_NEEDS, HTTP_NEEDS


@dataclass(frozen=True)
class Guarded:
    """A server with a key for each scope, and what is none.

    Attributes:
        refused: what a caller may send instead of a key → the words of its refusal.
    """

    server: ServerProcess
    http: str
    grpc: str
    keys: dict[Scope, str]
    refused: dict[str | None, str]
    state: Path


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    root = tmp_path_factory.mktemp("access")
    publish_tiny(DirectoryStore(root / "models"), "tiny")
    file = KeyFile(root / "state")
    keys: dict[Scope, str] = {scope: file.create(scope, scopes=[scope]) for scope in SCOPES}
    over = file.create("over", scopes=SCOPES, expires=datetime(2020, 1, 1, tzinfo=UTC))
    revoked = file.create("revoked", scopes=SCOPES)
    assert file.revoke(revoked.split("_")[1])
    refused = {
        None: "got nothing",
        "lk_00000000_x": "not valid",
        revoked: "not valid",
        over: "expired at 2020-01-01T00:00:00Z",
        keys["admin"][:-1]: "not valid",
    }
    with running_server(root / "models", root / "state", "--host", "0.0.0.0", "--log-level", "debug") as server:
        yield Guarded(
            server,
            server.http.replace("0.0.0.0", "127.0.0.1"),
            server.grpc.replace("0.0.0.0", "127.0.0.1"),
            keys,
            refused,
            root / "state",
        )


def bearer(key: str | None) -> dict[str, str]:
    return {} if key is None else {"Authorization": f"Bearer {key}"}


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
    health = health_pb2.DESCRIPTOR.services_by_name["Health"].methods
    own = {f"/{method.containing_service.full_name}/{method.name}" for method in (*all_methods(), *health)}
    return own | {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"}


def test_the_need_of_every_route_and_method_is_written_down() -> None:
    assert routes() == set(HTTP_NEEDS)
    assert {call: needed_http(call[0], call[1]) for call in HTTP_NEEDS} == HTTP_NEEDS
    assert methods() == set(GRPC_NEEDS)
    assert {method: needed_grpc(method) for method in GRPC_NEEDS} == GRPC_NEEDS


def path_of(template: str) -> str:
    """A path of a route, whose parts need not exist."""
    return re.sub(r"\{(\w+)\}", lambda name: {"name": "tiny", "version": "1"}.get(name[1], "x"), template)


def test_every_http_route_is_refused_without_the_right_key(guarded: Guarded) -> None:
    with httpx.Client(base_url=guarded.http, timeout=20) as client:
        for (method, template), need in HTTP_NEEDS.items():
            path = path_of(template)
            for key, words in guarded.refused.items():
                answer = client.request(method, path, headers=bearer(key))
                if need == "nothing":
                    assert answer.status_code == 200, (method, path)
                else:
                    assert (answer.status_code, words in answer.text) == (401, True), (method, path, key)
            for scope, key in guarded.keys.items():
                if scope == need and "/unload" in path:  # what is allowed is done
                    continue
                status = client.request(method, path, headers=bearer(key)).status_code
                assert (status == 403) == (need not in ("nothing", "key", scope)), (method, path, scope, status)
                assert status not in (401, 405, 500), (method, path, scope, status)


def test_every_grpc_method_is_refused_without_the_right_key(guarded: Guarded) -> None:
    with grpc.insecure_channel(guarded.grpc) as opened:
        channel: Any = opened  # whose stubs want serializers for calls that take and yield bytes

        def outcome(method: str, key: str | None) -> tuple[grpc.StatusCode, str]:
            metadata = tuple((name.lower(), value) for name, value in bearer(key).items())
            call = channel.stream_stream(method)(iter([b""]), metadata=metadata, timeout=5)
            try:
                next(call, None)
            except grpc.RpcError as error:
                return error.code(), error.details() or ""
            finally:
                call.cancel()
            return grpc.StatusCode.OK, ""

        for method, need in GRPC_NEEDS.items():
            for key, words in guarded.refused.items():
                code, details = outcome(method, key)
                refused = code is grpc.StatusCode.UNAUTHENTICATED and words in details
                assert refused == (need != "nothing"), (method, key, code, details)
            for scope, key in guarded.keys.items():
                code, _ = outcome(method, key)
                denied = code is grpc.StatusCode.PERMISSION_DENIED
                assert denied == (need not in ("nothing", "key", scope)), (method, scope, code)


def test_over_its_limit_of_open_requests_a_key_is_refused_by_every_call_that_costs(guarded: Guarded) -> None:
    """The one open request is a body that does not come."""
    key = KeyFile(guarded.state).create("one", scopes=SCOPES, concurrent_requests=1)
    address = urlsplit(guarded.http)
    head = f"POST /v1/samples HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {key}\r\n"
    with (
        socket.create_connection((address.hostname, address.port)) as held,
        httpx.Client(base_url=guarded.http, headers=bearer(key)) as client,
        grpc.insecure_channel(guarded.grpc) as opened,
    ):
        held.sendall(f"{head}Content-Length: 2\r\n\r\n".encode())
        while client.post("/v1/samples").status_code != 429:
            time.sleep(0.01)
        for (method, template), need in HTTP_NEEDS.items():
            answer = client.request(method, path_of(template))
            assert (answer.status_code == 429) == (need in SCOPES), (method, template, answer.status_code)
            assert ("retry-after-ms" in answer.headers) == (need in SCOPES)
        channel: Any = opened
        for method, need in GRPC_NEEDS.items():
            call = channel.stream_stream(method)(iter([b""]), metadata=(("authorization", f"Bearer {key}"),), timeout=5)
            try:
                next(call, None)
                code = grpc.StatusCode.OK
            except grpc.RpcError as error:
                code = error.code()
            finally:
                call.cancel()
            assert (code is grpc.StatusCode.RESOURCE_EXHAUSTED) == (need in SCOPES), (method, code)
        held.sendall(b"{}")
        assert held.recv(12) == b"HTTP/1.1 200"
        assert client.post("/v1/samples").status_code == 200


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
