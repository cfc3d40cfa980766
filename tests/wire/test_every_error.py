"""Every kind of error, as each ecosystem's own client sees it; a new kind cannot be left out.

The first table has what any client can bring about by what it asks or when; the second the rest, each with whom it can
happen to.
"""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import openai
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException

from runtime.store import DirectoryStore
from service.errors import all_kinds
from service.grpc_api._generated import latentd_v1_fine_tuning_pb2 as tuning
from service.grpc_api._generated import latentd_v1_generation_pb2 as generation
from service.grpc_api._generated import latentd_v1_models_pb2 as models
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2_grpc import FineTuningStub
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.grpc_api._generated.latentd_v1_models_pb2_grpc import ModelsStub
from service.keys import SCOPES, KeyFile
from tests.kit.server import ServerProcess, running_server, start_latentd
from tests.kit.tiny_package import publish_tiny

MAX_BODY = 100_000


@dataclass(frozen=True)
class Asked:
    """Images, in the terms that every client has; the addresses are those of `ServerProcess`."""

    http: str
    grpc: str
    key: str
    model: str = "tiny"
    n: int = 1
    timeout_s: float | None = None
    padding: int = 0
    """Bytes that make the message larger and mean nothing."""


Answer = tuple[str, str]
"""Status and message; ``("ok", "")`` where images came."""


def by_openai(asked: Asked) -> Answer:
    """The status is the HTTP one, and the class is the client's own for it."""
    extra = {} if asked.timeout_s is None else {"timeout_ms": round(asked.timeout_s * 1000)}
    classes = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        403: openai.PermissionDeniedError,
        404: openai.NotFoundError,
        429: openai.RateLimitError,
        500: openai.InternalServerError,
        503: openai.InternalServerError,
        504: openai.InternalServerError,
    }
    with openai.OpenAI(base_url=f"{asked.http}/v1", api_key=asked.key, max_retries=0) as client:
        try:
            client.images.generate(model=asked.model, prompt=" " * asked.padding, n=asked.n, extra_body=extra)
        except openai.APIStatusError as error:
            assert isinstance(error, classes.get(error.status_code, openai.APIStatusError))
            assert error.request_id
            return str(error.status_code), str(error)
    return "ok", ""


def by_native_http(asked: Asked) -> Answer:
    body: dict[str, Any] = {"model": asked.model, "n": asked.n}
    if asked.timeout_s is not None:
        body["timeout_ms"] = round(asked.timeout_s * 1000)
    content = json.dumps(body).encode() + b" " * asked.padding
    headers = {"Authorization": f"Bearer {asked.key}"}
    answer = httpx.post(f"{asked.http}/v1/samples", content=content, headers=headers, timeout=60)
    return ("ok", "") if answer.status_code == 200 else (str(answer.status_code), answer.text)


def by_native_grpc(asked: Asked) -> Answer:
    with grpc.insecure_channel(asked.grpc) as channel:
        try:
            GenerationStub(channel).Sample(
                generation.SampleRequest(
                    model=asked.model,
                    n=asked.n,
                    labels=[generation.Label(name="x" * asked.padding)] * bool(asked.padding),
                ),
                metadata=(("authorization", f"Bearer {asked.key}"),),
                timeout=asked.timeout_s,
            )
        except grpc.RpcError as error:
            return error.code().name, error.details() or ""
    return "ok", ""


def by_triton_http(asked: Asked) -> Answer:
    with tritonclient.http.InferenceServerClient(
        asked.http.removeprefix("http://"), network_timeout=60, connection_timeout=60
    ) as client:
        return _inferred(tritonclient.http, client, asked, {"headers": {"Authorization": f"Bearer {asked.key}"}})


def by_triton_grpc(asked: Asked) -> Answer:
    with tritonclient.grpc.InferenceServerClient(asked.grpc) as client:
        return _inferred(tritonclient.grpc, client, asked, {"headers": {"authorization": f"Bearer {asked.key}"}})


def _inferred(module: Any, client: Any, asked: Asked, options: dict[str, Any]) -> Answer:
    seeds = module.InferInput("seed", [asked.n, 1], "UINT64")
    seeds.set_data_from_numpy(np.arange(asked.n, dtype=np.uint64).reshape(-1, 1))
    if asked.timeout_s is not None:
        options["timeout"] = round(asked.timeout_s * 1e6)
    try:
        client.infer(asked.model, [seeds], request_id="x" * asked.padding, **options)
    except InferenceServerException as error:
        return str(error.status()).removeprefix("StatusCode."), error.message()
    return "ok", ""


CLIENTS: dict[str, Callable[[Asked], Answer]] = {
    "openai": by_openai,
    "native http": by_native_http,
    "triton http": by_triton_http,
    "native grpc": by_native_grpc,
    "triton grpc": by_triton_grpc,
}


@dataclass(frozen=True)
class Served:
    """A server whose queue is short, with keys."""

    server: ServerProcess
    keys: KeyFile
    admin: str

    def asked(self, **changes: Any) -> Asked:
        """A good request, changed."""
        return replace(Asked(self.server.http, self.server.grpc, self.admin), **changes)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Its one worker computes, and its queue is full."""
        body = {"model": "slow", "n": 64}
        headers = {"Authorization": f"Bearer {self.admin}"}
        over = threading.Event()

        def ask() -> None:
            while not over.is_set():
                httpx.post(f"{self.server.http}/v1/samples", json=body, headers=headers, timeout=60)

        with ThreadPoolExecutor(4) as pool:
            for _ in range(4):
                pool.submit(ask)
            try:
                yield
            finally:
                over.set()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root: Path = tmp_path_factory.mktemp("errors")
    store = DirectoryStore(root / "models")
    publish_tiny(store, "tiny", precisions=("fp32",))
    publish_tiny(store, "slow", delay=40, precisions=("fp32",))
    keys = KeyFile(root / "state")
    admin = keys.create("admin", scopes=SCOPES)
    args = (
        *("--queue-limit", "64", "--max-images", "64", "--inference-threads", "1"),
        *("--max-body-bytes", str(MAX_BODY), "--max-file-bytes", str(MAX_BODY), "--default-model", "tiny"),
    )
    with running_server(store.root, root / "state", *args) as server:
        yield Served(server, keys, admin)


ANYBODYS: dict[str, tuple[int, str]] = {
    "invalid_request": (400, "INVALID_ARGUMENT"),
    "unauthenticated": (401, "UNAUTHENTICATED"),
    "permission_denied": (403, "PERMISSION_DENIED"),
    "not_found": (404, "NOT_FOUND"),
    "too_large": (413, "RESOURCE_EXHAUSTED"),  # of messages gRPC says so itself, before our code has them
    "overloaded": (429, "RESOURCE_EXHAUSTED"),
    "rate_limited": (429, "RESOURCE_EXHAUSTED"),
    "internal": (500, "INTERNAL"),
    "not_ready": (503, "UNAVAILABLE"),
    "draining": (503, "UNAVAILABLE"),
    "deadline": (504, "DEADLINE_EXCEEDED"),
}
"""Kind → status over HTTP and over gRPC, whatever the client."""
SOMEBODYS = {"method_not_allowed", "conflict", "unsupported_media", "unimplemented", "cancelled"}
"""Kinds that some clients cannot bring about: each has a test of its own."""


def test_every_kind_is_brought_about() -> None:
    assert set(ANYBODYS) | SOMEBODYS == set(all_kinds())


def expect(client: str, kind: str, answer: Answer, words: str) -> None:
    http, over_grpc = ANYBODYS[kind]
    assert answer[0] == (over_grpc if client.endswith("grpc") else str(http)), (client, answer)
    assert words in answer[1], (client, answer)


@pytest.mark.parametrize("client", CLIENTS)
class TestAnybody:
    """Who is wrong, or comes at a wrong time."""

    def test_invalid_request(self, served: Served, client: str) -> None:
        expect(
            client,
            "invalid_request",
            CLIENTS[client](served.asked(n=65)),
            "n: got 65; allowed: an integer from 1 to 64",
        )

    def test_unauthenticated(self, served: Served, client: str) -> None:
        answer = CLIENTS[client](served.asked(key="lk_00000000_wrong"))
        expect(client, "unauthenticated", answer, "authorization: this key is not valid")

    def test_permission_denied(self, served: Served, client: str) -> None:
        answer = CLIENTS[client](served.asked(key=served.keys.create("trains", scopes=["train"])))
        expect(client, "permission_denied", answer, "this key has the scopes train; allowed: a key with scope sample")

    def test_not_found(self, served: Served, client: str) -> None:
        expect(client, "not_found", CLIENTS[client](served.asked(model="tinny")), "did you mean tiny")

    def test_too_large(self, served: Served, client: str) -> None:
        words = f"vs. {MAX_BODY}" if client.endswith("grpc") else f"allowed: up to {MAX_BODY} bytes"
        expect(client, "too_large", CLIENTS[client](served.asked(padding=MAX_BODY)), words)

    def test_rate_limited(self, served: Served, client: str) -> None:
        asked = served.asked(key=served.keys.create("slow", images_per_second=0.1))
        assert CLIENTS[client](asked) == ("ok", "")
        expect(client, "rate_limited", CLIENTS[client](asked), "1 more would exceed the 0.1 images per second")

    def test_overloaded(self, served: Served, client: str) -> None:
        end = time.monotonic() + 30
        with served.busy():
            while (answer := CLIENTS[client](served.asked(n=64)))[0] == "ok":
                assert time.monotonic() < end
        expect(client, "overloaded", answer, "64 more do not fit")

    def test_deadline(self, served: Served, client: str) -> None:
        answer = CLIENTS[client](served.asked(model="slow", n=64, timeout_s=0.02))
        gave_up_first = client == "native grpc" and answer[1] == "Deadline Exceeded"  # gRPC's own client watches, too
        expect(client, "deadline", answer, "" if gave_up_first else "of 64 images were ready")

    def test_internal(self, served: Served, client: str) -> None:
        """A key file that breaks while the server runs lets nobody in, and tells nobody why."""
        whole = served.keys.path.read_bytes()
        try:
            served.keys.path.write_bytes(b"[half a f")
            answer = CLIENTS[client](served.asked())
        finally:
            served.keys.path.write_bytes(whole)
        expect(client, "internal", answer, "internal error; quote request id ")
        assert "key file" not in answer[1]
        assert CLIENTS[client](served.asked()) == ("ok", "")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_not_ready(store: DirectoryStore, tmp_path: Path) -> None:
    """The store's one package is not whole yet: its manifest is a pipe that nobody has written to."""
    publish_tiny(store, "tiny", precisions=("fp32",))
    manifest = store.root / "tiny" / "1" / "manifest.json"
    content = manifest.read_bytes()
    manifest.unlink()
    os.mkfifo(manifest)
    http, over_grpc = free_port(), free_port()
    asked = Asked(f"http://127.0.0.1:{http}", f"127.0.0.1:{over_grpc}", "none")
    ports = ("--http-port", str(http), "--grpc-port", str(over_grpc))
    state = tmp_path / "state"
    process = start_latentd("serve", "--store", str(store.root), "--state", str(state), *ports, log=tmp_path / "log")
    try:
        wait_for_port(process, http)
        for client, ask in CLIENTS.items():
            expect(client, "not_ready", ask(asked), "models are still being loaded")
        refused = httpx.post(f"{asked.http}/v1/samples")
        assert (refused.headers["retry-after"], refused.headers["x-should-retry"]) == ("1", "true")
        with manifest.open("wb") as pipe:  # which the server is reading; what reads after it finds a file
            (tmp_path / "manifest.json").write_bytes(content)
            (tmp_path / "manifest.json").rename(manifest)
            pipe.write(content)
        with openai.OpenAI(base_url=f"{asked.http}/v1", api_key="none", max_retries=10) as patient:
            assert patient.images.generate(model="tiny", prompt="").data
    finally:
        process.terminate()
        assert process.wait(15) == 0


def wait_for_port(process: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not listen")


def test_draining(served: Served, tmp_path: Path) -> None:
    """First every client is told that it is not ready; then nothing new begins, and what is in flight is finished."""
    args = ("--drain-notice-seconds", "1", "--inference-threads", "1")
    with running_server(served.server.log.parent.parent / "models", tmp_path / "state", *args) as server:
        asked = Asked(server.http, server.grpc, "none")
        with (
            ThreadPoolExecutor(1) as pool,
            tritonclient.http.InferenceServerClient(server.http.removeprefix("http://")) as over_http,
            tritonclient.grpc.InferenceServerClient(server.grpc) as over_grpc,
        ):
            in_flight = pool.submit(by_native_http, replace(asked, model="slow", n=1000))
            while "latentd_inflight_batches 1.0" not in httpx.get(f"{server.http}/metrics").text:
                time.sleep(0.01)
            os.kill(server.pid, signal.SIGTERM)
            end = time.monotonic() + 10
            while over_http.is_server_ready():
                assert time.monotonic() < end
            assert not over_grpc.is_server_ready()
            refused = httpx.get(f"{server.http}/v2/health/ready")
            assert (refused.status_code, refused.json()["error"]) == (503, "the server is shutting down")
            assert int(refused.headers["retry-after"]) > 0
            assert in_flight.result() == ("ok", "")
        for client, ask in CLIENTS.items():
            if client.endswith("grpc"):
                assert ask(asked)[0] == "UNAVAILABLE"
            else:
                with pytest.raises((openai.APIConnectionError, httpx.ConnectError, ConnectionRefusedError)):
                    ask(asked)


def test_cancelled(served: Served) -> None:
    """Nobody is told; the log and the metrics are."""
    asked = served.asked(model="slow", n=64)

    def counted(api: str, code: str) -> bool:
        headers = {"Authorization": f"Bearer {served.admin}"}
        text = httpx.get(f"{served.server.http}/metrics", headers=headers).text
        return f'latentd_requests_total{{api="{api}",code="{code}",model="slow"' in text

    def wait_until_counted(api: str, code: str) -> None:
        end = time.monotonic() + 20
        while not counted(api, code):
            assert time.monotonic() < end, (api, code)
            time.sleep(0.05)

    with (
        openai.OpenAI(base_url=f"{asked.http}/v1", api_key=asked.key, max_retries=0, timeout=0.1) as impatient,
        pytest.raises(openai.APITimeoutError),
    ):
        impatient.images.generate(model="slow", prompt="", n=64)
    wait_until_counted("openai", "499")
    with grpc.insecure_channel(asked.grpc) as channel:
        metadata = (("authorization", f"Bearer {asked.key}"),)
        call = GenerationStub(channel).Sample.future(generation.SampleRequest(model="slow", n=64), metadata=metadata)
        time.sleep(0.1)
        call.cancel()  # type: ignore[no-untyped-call]
        assert call.code() == grpc.StatusCode.CANCELLED
    wait_until_counted("grpc", "CANCELLED")
    assert by_native_http(served.asked()) == ("ok", "")


def test_conflict(served: Served) -> None:
    """Whoever changes what is served: what an alias stands for is not deleted, a model's name is no alias."""
    headers = {"Authorization": f"Bearer {served.admin}"}
    url = f"{served.server.http}/v1"
    assert httpx.put(f"{url}/aliases/kept", headers=headers, json={"target": "tiny@1"}).status_code == 200
    with (
        openai.OpenAI(base_url=url, api_key=served.admin, max_retries=2) as client,
        pytest.raises(openai.ConflictError, match="the alias kept stands for tiny@1"),
    ):
        client.models.delete("tiny@1")
    metrics = httpx.get(f"{served.server.http}/metrics", headers=headers).text
    refusals = 'latentd_requests_total{api="http",code="409",model="",version=""} 1.0'
    assert refusals in metrics, "trying again would not help, and the client is told so"
    with grpc.insecure_channel(served.server.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        alias = models.Alias(name="tiny", target="slow@1")
        ModelsStub(channel).SetAlias(models.SetAliasRequest(alias=alias), metadata=tuple(lower(headers)))
    assert caught.value.code() == grpc.StatusCode.FAILED_PRECONDITION


def test_method_not_allowed(served: Served) -> None:
    with (
        openai.OpenAI(base_url=f"{served.server.http}/v1", api_key=served.admin, max_retries=0) as client,
        pytest.raises(openai.APIStatusError, match="method: got DELETE for /v1/samples") as caught,
    ):
        client.delete("/samples", cast_to=object)
    assert caught.value.status_code == 405
    assert caught.value.response.headers["allow"] == "POST"


def test_unsupported_media(served: Served) -> None:
    with (
        openai.OpenAI(base_url=f"{served.server.http}/v1", api_key=served.admin, max_retries=0) as client,
        pytest.raises(openai.APIStatusError, match="Content-Type: got 'application/json'") as caught,
    ):
        client.post("/files", body={}, cast_to=object)
    assert caught.value.status_code == 415
    headers = {"Authorization": f"Bearer {served.admin}", "Content-Encoding": "br"}
    seeds = tritonclient.http.InferInput("seed", [1, 1], "UINT64")
    seeds.set_data_from_numpy(np.zeros((1, 1), dtype=np.uint64))
    with (
        tritonclient.http.InferenceServerClient(served.server.http.removeprefix("http://")) as triton,
        pytest.raises(InferenceServerException, match="Content-Encoding: got 'br'") as refused,
    ):
        triton.infer("tiny", [seeds], headers=headers)
    assert refused.value.status() == "415"


def test_an_upload_may_be_too_large_over_grpc_too(served: Served) -> None:
    parts = [tuning.UploadFileRequest(header=tuning.FileHeader(filename="a.zip"))]
    parts += [tuning.UploadFileRequest(content=bytes(MAX_BODY // 2))] * 3
    metadata = (("authorization", f"Bearer {served.admin}"),)
    with grpc.insecure_channel(served.server.grpc) as channel, pytest.raises(grpc.RpcError) as caught:
        FineTuningStub(channel).UploadFile(iter(parts), metadata=metadata)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert f"file: got over {MAX_BODY} bytes" in (caught.value.details() or "")


@pytest.mark.parametrize(
    ("module", "status"), [(tritonclient.http, "501"), (tritonclient.grpc, "StatusCode.UNIMPLEMENTED")]
)
def test_unimplemented(served: Served, module: Any, status: str) -> None:
    """What Triton could and a package cannot: be loaded with another configuration."""
    address = served.server.grpc if module is tritonclient.grpc else served.server.http.removeprefix("http://")
    with (
        module.InferenceServerClient(address) as client,
        pytest.raises(InferenceServerException, match="a package is served as it is") as caught,
    ):
        client.load_model("tiny", config="{}", headers={"authorization": f"Bearer {served.admin}"})
    assert str(caught.value.status()) == status


def lower(headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Headers as the metadata of gRPC."""
    return ((name.lower(), value) for name, value in headers.items())
