"""Images per second and open requests of one key, over both transports; other keys are unaffected."""

import base64
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import openai
import pytest
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import RetryInfo
from grpc_status import rpc_status

from runtime.store import DirectoryStore
from service.grpc_api._generated import inference_open_inference_pb2 as pb
from service.grpc_api._generated.latentd_v1_generation_pb2 import InterpolateRequest, SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.keys import KeyFile
from tests.kit.archives import png
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny
from tests.wire.needs import GRPC_NEEDS, HTTP_NEEDS


@dataclass(frozen=True)
class Limited:
    """A server with a model that takes a while, and keys to make."""

    server: ServerProcess
    keys: KeyFile

    def headers(self, **limits: float) -> dict[str, str]:
        """Of a new key with these limits."""
        return {"authorization": f"Bearer {self.keys.create('a', **limits)}"}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Limited]:
    root: Path = tmp_path_factory.mktemp("limits")
    store = DirectoryStore(root / "models")
    publish_tiny(store, "tiny", precisions=("fp32",))
    publish_tiny(store, "slow", delay=20, precisions=("fp32",))
    publish_tiny(store, "seer", classes=(), encoder=True, precisions=("fp32",))
    keys = KeyFile(root / "state")
    keys.create("first")
    args = ("--default-model", "tiny", "--images-per-second", "50")
    with running_server(store.root, root / "state", *args) as server:
        yield Limited(server, keys)


def test_over_the_rate_http_says_when_to_come_back(limited: Limited) -> None:
    headers = limited.headers(images_per_second=20)
    with httpx.Client(base_url=limited.server.http, headers=headers) as client:
        assert client.post("/v1/samples", json={"n": 25}).status_code == 200, "one second's worth and a debt"
        refused = client.post("/v1/samples", json={"n": 10})
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "rate_limited"
        assert refused.json()["error"]["type"] == "rate_limit_error"
        wait = int(refused.headers["retry-after-ms"]) / 1000
        assert 0.4 < wait < 0.8
        assert refused.headers["retry-after"] == "1"
        time.sleep(wait)
        assert client.post("/v1/samples", json={"n": 10}).status_code == 200
        assert client.get("/v1/models").status_code == 200, "reading costs nothing"
    assert httpx.post(f"{limited.server.http}/v1/samples", headers=limited.headers()).status_code == 200
    metrics = httpx.get(f"{limited.server.http}/metrics", headers=headers).text
    assert 'latentd_rejected_total{reason="rate"} 1.0' in metrics


def test_both_transports_draw_on_one_account(limited: Limited) -> None:
    headers = limited.headers(images_per_second=10)
    assert httpx.post(f"{limited.server.http}/v1/samples", json={"n": 30}, headers=headers).status_code == 200
    with grpc.insecure_channel(limited.server.grpc) as channel:
        stub = GenerationStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Sample(SampleRequest(n=5), metadata=tuple(headers.items()))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # every error of a call is a call too
        retry = RetryInfo()
        assert status.details[0].Unpack(retry)
        assert 2000 < retry.retry_delay.ToMilliseconds() < 2600
        with pytest.raises(grpc.RpcError) as caught:
            next(iter(stub.SampleStream(SampleRequest(n=5), metadata=tuple(headers.items()))))
        assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


SEEDS = {"inputs": [{"name": "seed", "datatype": "UINT64", "shape": [1, 1], "data": [1]}]}
PICTURE = {"image": base64.b64encode(png()).decode(), "model": "seer"}
DRAWING_HTTP: dict[str, dict[str, Any]] = {
    "/v1/samples": {},
    "/v1/interpolations": {"from_seed": 1, "to_seed": 2, "steps": 2},
    "/v1/reconstructions": PICTURE,
    "/v1/images/generations": {"prompt": ""},
    "/v1/images/variations": PICTURE,
    "/v2/models/{name}/infer": SEEDS,
    "/v2/models/{name}/versions/{version}/infer": SEEDS,
}
_INFER = pb.ModelInferRequest(
    model_name="tiny",
    inputs=[pb.ModelInferRequest.InferInputTensor(name="seed", datatype="UINT64", shape=[1, 1])],
    raw_input_contents=[bytes(8)],
)
DRAWING_GRPC: dict[str, Message] = {
    "/latentd.v1.Generation/Sample": SampleRequest(),
    "/latentd.v1.Generation/SampleStream": SampleRequest(),
    "/latentd.v1.Generation/Interpolate": InterpolateRequest(from_seed=1, to_seed=2, steps=2),
    "/inference.GRPCInferenceService/ModelInfer": _INFER,
    "/inference.GRPCInferenceService/ModelStreamInfer": _INFER,
}
"""A good request to each call that draws images."""


def test_whatever_draws_is_charged(limited: Limited) -> None:
    """Each call is answered for a key without a limit, and refused to one that has had its image."""
    assert set(DRAWING_HTTP) == {path for (_, path), need in HTTP_NEEDS.items() if need == "sample"}
    assert set(DRAWING_GRPC) == {method for method, need in GRPC_NEEDS.items() if need == "sample"}
    free, spent = limited.headers(images_per_second=1e9), limited.headers(images_per_second=0.001)
    with httpx.Client(base_url=limited.server.http) as client, grpc.insecure_channel(limited.server.grpc) as opened:
        assert client.post("/v1/samples", headers=spent).status_code == 200
        for template, body in DRAWING_HTTP.items():
            path = template.replace("{name}", "tiny").replace("{version}", "1")
            good = client.post(path, json=body, headers=free)
            assert good.status_code == 200, (path, good.text)
            refused = client.post(path, json=body, headers=spent)
            assert (refused.status_code, "0.001 images per second" in refused.text) == (429, True), path
        channel: Any = opened  # whose stubs want serializers for calls that take and yield bytes
        for method, request in DRAWING_GRPC.items():

            def ask(headers: dict[str, str], method: str = method, request: Message = request) -> bytes:
                call = channel.stream_stream(method)(iter([request.SerializeToString()]), metadata=[*headers.items()])
                return b"".join(call)

            assert b"images per second" not in ask(free)
            if method.endswith("ModelStreamInfer"):  # which goes on after a refusal
                assert b"0.001 images per second" in ask(spent)
                continue
            with pytest.raises(grpc.RpcError) as caught:
                ask(spent)
            assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, method
            assert "0.001 images per second" in (caught.value.details() or "")


def test_the_openai_client_waits_as_it_is_told_and_succeeds(limited: Limited) -> None:
    key = limited.headers(images_per_second=20)["authorization"].removeprefix("Bearer ")
    with openai.OpenAI(base_url=f"{limited.server.http}/v1", api_key=key, max_retries=2) as client:
        start = time.perf_counter()
        for _ in range(3):
            client.images.generate(model="tiny", prompt="", n=15)
        assert time.perf_counter() - start > 0.5
        with pytest.raises(openai.RateLimitError, match="20 images per second"):
            client.with_options(max_retries=0).images.generate(model="tiny", prompt="", n=15)


def test_the_servers_limit_is_for_keys_without_one_of_their_own(limited: Limited) -> None:
    headers = limited.headers()
    with httpx.Client(base_url=limited.server.http, headers=headers) as client:
        assert client.post("/v1/samples", json={"n": 60}).status_code == 200
        assert "50 images per second" in client.post("/v1/samples").json()["error"]["message"]


def test_requests_at_the_same_time_are_limited_on_both_transports(limited: Limited) -> None:
    headers = limited.headers(concurrent_requests=2, images_per_second=100_000)
    body = {"model": "slow", "n": 64}
    with httpx.Client(base_url=limited.server.http, timeout=60) as client, ThreadPoolExecutor(8) as pool:
        tasks = [pool.submit(client.post, "/v1/samples", json=body, headers=headers) for _ in range(8)]
        answers = [task.result() for task in tasks]
        counts = {status: sum(answer.status_code == status for answer in answers) for status in (200, 429)}
        assert counts[200] >= 2
        assert counts[429] >= 1
        assert counts[200] + counts[429] == 8
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert "this caller has 2 open; allowed: 2" in refused.json()["error"]["message"]
        assert int(refused.headers["retry-after-ms"]) > 0
        busy = [pool.submit(client.post, "/v1/samples", json=body, headers=headers) for _ in range(2)]
        other = client.post("/v1/samples", json={"n": 1}, headers=limited.headers())
        assert other.status_code == 200
        with grpc.insecure_channel(limited.server.grpc) as channel:
            codes = set()
            while not all(task.done() for task in busy):
                try:
                    GenerationStub(channel).Sample(SampleRequest(), metadata=tuple(headers.items()))
                except grpc.RpcError as error:
                    codes.add(error.code())
        assert codes <= {grpc.StatusCode.RESOURCE_EXHAUSTED}
        assert client.post("/v1/samples", headers=headers).status_code == 200, "the slots are free again"
