"""The unmodified `tritonclient` package as the client, over HTTP and gRPC."""

import asyncio
import itertools
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from tests.kit.server import ServerProcess

TRANSPORTS = {"http": tritonclient.http, "grpc": tritonclient.grpc}


@pytest.fixture(params=TRANSPORTS)
def triton(request: pytest.FixtureRequest, server: ServerProcess) -> Any:
    """(module, client) of one transport."""
    module = TRANSPORTS[request.param]
    address = server.http.removeprefix("http://") if request.param == "http" else server.grpc
    client = module.InferenceServerClient(address)
    yield module, client
    client.close()


def tensor(module: Any, name: str, datatype: str, values: Any) -> Any:
    made = module.InferInput(name, list(values.shape), datatype)
    made.set_data_from_numpy(values)
    return made


def seeds(module: Any, first: int, n: int) -> Any:
    return tensor(module, "seed", "UINT64", np.arange(first, first + n, dtype=np.uint64).reshape(-1, 1))


def test_server_and_model_say_what_they_are(triton: Any) -> None:
    module, client = triton
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("tiny")
    assert client.is_model_ready("tiny", "1")
    assert not client.is_model_ready("nothing")
    as_json = {"as_json": True} if module is tritonclient.grpc else {}
    assert client.get_server_metadata(**as_json)["name"] == "latentd"
    metadata = client.get_model_metadata("tiny", **as_json)
    assert metadata["versions"] == ["1"]
    assert [entry["name"] for entry in metadata["inputs"]] == ["latents", "seed", "label", "truncation"]
    assert [int(side) for side in metadata["outputs"][0]["shape"]] == [-1, 8, 8, 1]


def test_seeds_and_labels_in_images_out(triton: Any) -> None:
    module, client = triton
    labels = tensor(module, "label", "INT64", np.full((5, 1), 3))
    truncation = tensor(module, "truncation", "FP32", np.full((5, 1), 0.7, dtype=np.float32))
    answer = client.infer("tiny", [seeds(module, 9, 5), labels, truncation])
    images = answer.as_numpy("images")
    assert images.shape == (5, 8, 8, 1)
    assert images.dtype == np.uint8
    again = client.infer("tiny", [seeds(module, 9, 5), labels, truncation], model_version="1", request_id="r1")
    assert np.array_equal(again.as_numpy("images"), images)


def test_latents_named_outputs_parameters(triton: Any) -> None:
    module, client = triton
    latents = tensor(module, "latents", "FP32", np.ones((2, 8), dtype=np.float32))
    answer = client.infer(
        "plain",
        [latents],
        outputs=[module.InferRequestedOutput("images")],
        priority=2,
        timeout=5_000_000,
        parameters={"precision": "fp32"},
    )
    images = answer.as_numpy("images")
    assert images.shape == (2, 16, 16, 3)
    assert np.array_equal(images[0], images[1])


def test_http_json_tensors(server: ServerProcess) -> None:
    with tritonclient.http.InferenceServerClient(server.http.removeprefix("http://")) as client:
        values = tritonclient.http.InferInput("seed", [3, 1], "UINT64")
        values.set_data_from_numpy(np.array([[1], [2], [3]], dtype=np.uint64), binary_data=False)
        output = tritonclient.http.InferRequestedOutput("images", binary_data=False)
        as_json = client.infer("tiny", [values], outputs=[output]).as_numpy("images")
        binary = client.infer("tiny", [seeds(tritonclient.http, 1, 3)]).as_numpy("images")
        assert np.array_equal(as_json, binary)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_requests(server: ServerProcess, algorithm: str) -> None:
    with tritonclient.http.InferenceServerClient(server.http.removeprefix("http://")) as client:
        inputs = [seeds(tritonclient.http, 1, 3)]
        plain = client.infer("tiny", inputs).as_numpy("images")
        compressed = client.infer("tiny", inputs, request_compression_algorithm=algorithm).as_numpy("images")
        assert np.array_equal(plain, compressed)


@pytest.mark.parametrize(
    ("name", "datatype", "values", "words"),
    [
        ("seed", "UINT64", np.zeros((2, 3), dtype=np.uint64), "[n, 1]"),
        ("latents", "FP32", np.zeros((2, 5), dtype=np.float32), "[n, 16]"),
        ("latents", "FP32", np.full((1, 16), np.nan, dtype=np.float32), "finite"),
        ("seed", "INT64", np.zeros((1, 1), dtype=np.int64), "UINT64"),
        ("seed", "UINT64", np.full((1, 1), 2**53, dtype=np.uint64), str(2**53 - 1)),
        ("noise", "FP32", np.zeros((1, 1), dtype=np.float32), "latents, seed, label, truncation"),
        ("seed", "UINT64", np.zeros((257, 1), dtype=np.uint64), "1 to 256"),
    ],
)
def test_wrong_tensors_are_refused_by_name(triton: Any, name: str, datatype: str, values: Any, words: str) -> None:
    module, client = triton
    with pytest.raises(InferenceServerException) as caught:
        client.infer("tiny", [tensor(module, name, datatype, values)])
    assert words in caught.value.message()


def test_unknown_model_and_output(triton: Any) -> None:
    module, client = triton
    with pytest.raises(InferenceServerException, match="nothing"):
        client.infer("nothing", [seeds(module, 0, 1)])
    with pytest.raises(InferenceServerException, match="images"):
        client.infer("tiny", [seeds(module, 0, 1)], outputs=[module.InferRequestedOutput("logits")])
    with pytest.raises(InferenceServerException, match="sequence_"):
        client.infer("tiny", [seeds(module, 0, 1)], sequence_id=4)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_asyncio_clients_ask_at_the_same_time(server: ServerProcess, transport: str) -> None:
    module, own = {
        "http": (tritonclient.http.aio, tritonclient.http),
        "grpc": (tritonclient.grpc.aio, tritonclient.grpc),
    }[transport]
    client = module.InferenceServerClient(server.http.removeprefix("http://") if transport == "http" else server.grpc)
    try:
        assert await client.is_model_ready("tiny")
        answers = await asyncio.gather(*(client.infer("tiny", [seeds(own, first, 2)]) for first in range(20)))
        rows = [answer.as_numpy("images") for answer in answers]
        assert all(np.array_equal(before[1], after[0]) for before, after in itertools.pairwise(rows))
        with pytest.raises(InferenceServerException, match="nothing"):
            await client.infer("nothing", [seeds(own, 0, 1)])
    finally:
        await client.close()


def test_an_answer_may_be_asked_for_compressed(server: ServerProcess) -> None:
    with tritonclient.http.InferenceServerClient(server.http.removeprefix("http://")) as client:
        inputs = [seeds(tritonclient.http, 1, 3)]
        plain = client.infer("tiny", inputs).as_numpy("images")
        asked = client.infer("tiny", inputs, response_compression_algorithm="gzip").as_numpy("images")
        assert np.array_equal(plain, asked)
