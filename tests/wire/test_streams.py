"""Images as soon as each is ready: server-sent events, lines of JSON, gRPC, and the streams of two ecosystems."""

import base64
import io
import json
import queue
import time
from typing import Any

import grpc
import httpx
import numpy as np
import openai
import pytest
import tritonclient.grpc
from numpy.typing import NDArray
from PIL import Image

from service.grpc_api._generated.latentd_v1_generation_pb2 import (
    FORMAT_PNG,
    LAYOUT_GRID,
    PRECISION_FP32,
    SampleRequest,
)
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from tests.kit.server import ServerProcess

N = 70


@pytest.fixture
def expected(http: httpx.Client) -> NDArray[np.uint8]:
    answer = http.post("/v1/samples", json={"n": N, "seed": 3, "precision": "fp32", "format": "npy"})
    loaded: NDArray[np.uint8] = np.load(io.BytesIO(answer.content))
    return loaded


def pixels(encoded: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))))


def body(**fields: Any) -> dict[str, Any]:
    return {"n": N, "seed": 3, "precision": "fp32", "stream": True, **fields}


def sent_events(text: str) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def wait_for(http: httpx.Client, line: str) -> None:
    end = time.monotonic() + 10
    while line not in http.get("/metrics").text:
        assert time.monotonic() < end, line
        time.sleep(0.02)


def test_server_sent_events(http: httpx.Client, expected: NDArray[np.uint8]) -> None:
    answer = http.post("/v1/samples", json=body())
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (answer.headers["x-latentd-seed"], answer.headers["x-latentd-model"]) == ("3", "tiny@1")
    *images, (last, done) = sent_events(answer.text)
    assert [name for name, _ in images] == ["image"] * N
    assert [(image["index"], image["seed"]) for _, image in images] == [(row, 3 + row) for row in range(N)]
    assert np.array_equal(np.stack([pixels(image["b64_json"]) for _, image in images]), expected[..., 0])
    assert (last, done["images"], done["model"], done["version"], done["precision"]) == ("done", N, "tiny", 1, "fp32")


def test_lines_of_json(http: httpx.Client, expected: NDArray[np.uint8]) -> None:
    answer = http.post("/v1/samples", json=body(format="webp"), headers={"Accept": "application/x-ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    *images, done = map(json.loads, answer.text.splitlines())
    assert [image["type"] for image in images] == ["image"] * N
    assert done["type"] == "done"
    assert np.array_equal(np.stack([pixels(image["b64_json"])[..., 0] for image in images]), expected[..., 0])


def test_images_come_before_the_last_is_ready(http: httpx.Client) -> None:
    arrived: list[float] = []
    with http.stream("POST", "/v1/samples", json=body(n=256, format="png")) as answer:
        for line in answer.iter_lines():
            if line.startswith("event: image"):
                arrived.append(time.perf_counter())
    assert len(arrived) == 256
    assert arrived[-1] > arrived[0]


@pytest.mark.parametrize(
    ("fields", "accept", "words"),
    [
        ({"format": "npy"}, "*/*", "format: got 'npy'; allowed: png, jpeg, webp, gif where stream is true"),
        ({}, "image/png", "Accept: got 'image/png'; allowed: text/event-stream or application/x-ndjson"),
        ({"layout": "grid"}, "*/*", "layout: got 'grid'; allowed: images"),
        ({"n": 0}, "*/*", "n: got 0"),
        ({"format": "gif"}, "*/*", "makes still images"),
        ({"stream": "yes"}, "*/*", "stream: got 'yes'"),
    ],
)
def test_what_is_refused_has_its_own_status(
    http: httpx.Client, fields: dict[str, Any], accept: str, words: str
) -> None:
    answer = http.post("/v1/samples", json=body(**fields), headers={"Accept": accept})
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_a_client_that_leaves_harms_nobody(http: httpx.Client) -> None:
    for _ in range(5):
        with http.stream("POST", "/v1/samples", json=body(n=256)) as answer:
            next(answer.iter_lines())
    assert http.post("/v1/samples", json={"n": 4}).status_code == 200
    wait_for(http, "latentd_queue_rows 0.0")


def test_grpc_streams_a_message_for_each_image(channel: grpc.Channel, expected: NDArray[np.uint8]) -> None:
    request = SampleRequest(n=N, seed=3, precision=PRECISION_FP32)
    messages = list(GenerationStub(channel).SampleStream(request))
    assert [(each.index, each.image.seed) for each in messages] == [(row, 3 + row) for row in range(N)]
    assert [each.HasField("frame") for each in messages] == [False] * N
    assert np.array_equal(
        np.stack([np.frombuffer(each.image.data, np.uint8).reshape(each.shape) for each in messages]), expected
    )
    request.format = FORMAT_PNG
    encoded = next(iter(GenerationStub(channel).SampleStream(request))).image.data
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encoded))), expected[0, ..., 0])


def test_grpc_streams_are_refused_with_their_status_and_request_id(channel: grpc.Channel) -> None:
    stub = GenerationStub(channel)
    for request, words in ((SampleRequest(n=0), "n: got 0"), (SampleRequest(layout=LAYOUT_GRID), "layout")):
        stream = stub.SampleStream(request, metadata=(("x-request-id", "mine-3"),))
        with pytest.raises(grpc.RpcError) as caught:
            next(iter(stream))
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert words in (caught.value.details() or "")
        assert ("x-request-id", "mine-3") in [(each.key, str(each.value)) for each in caught.value.trailing_metadata()]


def test_a_cancelled_grpc_stream_frees_its_rows(channel: grpc.Channel, http: httpx.Client) -> None:
    stream = GenerationStub(channel).SampleStream(SampleRequest(n=256))
    next(iter(stream))
    stream.cancel()  # type: ignore[no-untyped-call]
    wait_for(http, "latentd_queue_rows 0.0")
    wait_for(http, 'api="grpc",code="CANCELLED"')


def test_openai_streams_its_own_events(server: ServerProcess, expected: NDArray[np.uint8]) -> None:
    with openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as client:
        stream = client.images.generate(
            model="tiny", prompt="", n=N, stream=True, extra_body={"seed": 3, "precision": "fp32"}
        )
        events = list(stream)
        assert {event.type for event in events} == {"image_generation.completed"}
        assert np.array_equal(np.stack([pixels(event.b64_json or "") for event in events]), expected[..., 0])
        assert {(event.size, event.output_format) for event in events} == {("8x8", "png")}
        with pytest.raises(openai.BadRequestError, match="prompt: got 'cat'"):
            client.images.generate(model="tiny", prompt="cat", stream=True)


def test_triton_streams_requests_and_answers_in_their_order(server: ServerProcess) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(20):
            seed = tritonclient.grpc.InferInput("seed", [1, 1], "UINT64")
            seed.set_data_from_numpy(np.array([[number if number != 7 else 2**53]], dtype=np.uint64))
            client.async_stream_infer("tiny", [seed], request_id=str(number))
        found = [answers.get(timeout=20) for _ in range(20)]
        client.stop_stream()
        single = client.infer("tiny", [seed]).as_numpy("images")
    for number, (result, error) in enumerate(found):
        if number == 7:
            assert "inputs.seed" in error.message()
        else:
            assert error is None
            assert result.get_response().id == str(number)
    assert np.array_equal(found[19][0].as_numpy("images"), single)
