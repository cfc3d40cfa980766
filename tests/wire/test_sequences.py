"""A model of sequences over every transport: animations, film strips and NTHWC arrays."""

import base64
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import openai
import pytest
import tritonclient.grpc
import tritonclient.http
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from runtime.generator import Generator
from runtime.store import DirectoryStore
from service.client.connection import Connection
from service.client.transports import GrpcTransport, HttpTransport, SampleOptions
from service.grpc_api._generated.latentd_v1_generation_pb2 import Format, Layout, Precision, SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

T, H, W = 5, 8, 8
SEEDS = np.arange(7, 10, dtype=np.uint64)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root: Path = tmp_path_factory.mktemp("sequences")
    store = DirectoryStore(root / "models")
    publish_tiny(store, "moving", frames=T)
    publish_tiny(store, "still")
    with running_server(store.root, root / "state", "--default-model", "moving") as process:
        yield process


@pytest.fixture(scope="module")
def expected(server: ServerProcess) -> NDArray[np.uint8]:
    """What the package yields for `SEEDS`, read beside the server."""
    store = DirectoryStore(server.log.parent.parent / "models")
    return Generator(store.open("moving", 1), "fp32").sample(SEEDS)


def ask(http: httpx.Client, accept: str = "*/*", **body: Any) -> httpx.Response:
    body = {"seed": 7, "precision": "fp32", **body}
    return http.post("/v1/samples", json=body, headers={"Accept": accept})


def frames_of(content: bytes) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(content)) as file:
        return np.stack([np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(file)])[..., np.newaxis]


def test_arrays_are_nthwc(http: httpx.Client, expected: NDArray[np.uint8]) -> None:
    npy = np.load(io.BytesIO(ask(http, "application/x-npy", n=3).content))
    npz = np.load(io.BytesIO(ask(http, "application/x-npz", n=3).content))
    raw = ask(http, "application/octet-stream", n=3)
    assert raw.headers["X-Latentd-Shape"] == f"3,{T},{H},{W},1"
    assert np.array_equal(npy, expected)
    assert np.array_equal(npz["images"], expected)
    assert raw.content == expected.tobytes()


@pytest.mark.parametrize("media_type", ["image/gif", "image/webp"])
def test_one_sequence_is_an_animation(http: httpx.Client, expected: NDArray[np.uint8], media_type: str) -> None:
    answer = ask(http, media_type)
    assert answer.headers["content-type"] == media_type
    assert np.array_equal(frames_of(answer.content), expected[0])
    by_format = ask(http, format=media_type.removeprefix("image/"))
    assert by_format.content == answer.content


def test_several_sequences_run_side_by_side(http: httpx.Client, expected: NDArray[np.uint8]) -> None:
    frames = frames_of(ask(http, "image/gif", n=3).content)
    assert frames.shape == (T, 2 * H, 2 * W, 1)
    assert np.array_equal(frames[:, :H, W:], expected[1])


def test_png_is_a_film_strip_with_a_row_per_sequence(http: httpx.Client, expected: NDArray[np.uint8]) -> None:
    strip = frames_of(ask(http, "image/png", n=3).content)[0]
    assert strip.shape == (3 * H, T * W, 1)
    assert np.array_equal(strip[H : 2 * H, 2 * W : 3 * W], expected[1, 2])


def test_json_and_zip_carry_animations(http: httpx.Client, expected: NDArray[np.uint8]) -> None:
    data = ask(http, n=3).json()["data"]
    for entry, sequence in zip(data, expected, strict=True):
        assert np.array_equal(frames_of(base64.b64decode(entry["b64_json"])), sequence)
    archive = zipfile.ZipFile(io.BytesIO(ask(http, "application/zip", n=3).content))
    assert [name.rpartition(".")[2] for name in archive.namelist()] == ["gif"] * 3
    strips = ask(http, "application/json", n=1, format="png").json()["data"]
    assert frames_of(base64.b64decode(strips[0]["b64_json"])).shape == (1, H, T * W, 1)


def test_several_png_files_of_one_answer_are_refused(http: httpx.Client) -> None:
    answer = ask(http, "image/png", n=3, layout="images")
    assert answer.status_code == 400
    assert "grid for 3 images" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [{"format": "gif"}, {"format": "gif", "n": 4, "layout": "grid"}])
def test_a_still_model_has_no_animation(http: httpx.Client, body: dict[str, Any]) -> None:
    for accept in ("*/*", "image/gif", "application/json", "application/zip"):
        answer = ask(http, accept, model="still", **body)
        assert answer.status_code == 400, accept
        assert "still@1 makes still images" in answer.json()["error"]["message"]
        assert answer.json()["error"]["param"] == "format"


def test_the_openai_package_gets_animations(server: ServerProcess, expected: NDArray[np.uint8]) -> None:
    client = openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0)
    answer = client.images.generate(model="moving", prompt="", extra_body={"seed": 7, "precision": "fp32"})
    assert answer.data is not None
    assert np.array_equal(frames_of(base64.b64decode(answer.data[0].b64_json or "")), expected[0])
    with pytest.raises(openai.BadRequestError, match="still images"):
        client.images.generate(model="still", prompt="", extra_body={"output_format": "gif"})


def test_grpc_raw_gif_and_grid(channel: grpc.Channel, expected: NDArray[np.uint8]) -> None:
    stub = GenerationStub(channel)
    raw = stub.Sample(SampleRequest(seed=7, n=3, precision=Precision.PRECISION_FP32))
    assert list(raw.shape) == [T, H, W, 1]
    assert b"".join(image.data for image in raw.images) == expected.tobytes()
    gif = stub.Sample(SampleRequest(seed=7, n=3, precision=Precision.PRECISION_FP32, format=Format.FORMAT_GIF))
    assert np.array_equal(np.stack([frames_of(image.data) for image in gif.images]), expected)
    grid = stub.Sample(SampleRequest(seed=7, n=3, precision=Precision.PRECISION_FP32, layout=Layout.LAYOUT_GRID))
    assert list(grid.shape) == [T, 2 * H, 2 * W, 1]
    strip = stub.Sample(
        SampleRequest(
            seed=7, n=3, precision=Precision.PRECISION_FP32, format=Format.FORMAT_PNG, layout=Layout.LAYOUT_GRID
        )
    )
    assert frames_of(strip.images[0].data).shape == (1, 3 * H, T * W, 1)


def test_grpc_refuses_gif_of_a_still_model(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        GenerationStub(channel).Sample(SampleRequest(model="still", format=Format.FORMAT_GIF))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "still@1 makes still images" in (caught.value.details() or "")


@pytest.mark.parametrize("module", [tritonclient.http, tritonclient.grpc])
def test_tritonclient_gets_nthwc(server: ServerProcess, expected: NDArray[np.uint8], module: Any) -> None:
    address = server.http.removeprefix("http://") if module is tritonclient.http else server.grpc
    with module.InferenceServerClient(address) as client:
        metadata = client.get_model_metadata("moving", **({} if module is tritonclient.http else {"as_json": True}))
        assert [int(side) for side in metadata["outputs"][0]["shape"]] == [-1, T, H, W, 1]
        seed = module.InferInput("seed", [3, 1], "UINT64")
        seed.set_data_from_numpy(SEEDS.reshape(-1, 1))
        answer = client.infer("moving", [seed], parameters={"precision": "fp32"})
        assert np.array_equal(answer.as_numpy("images"), expected)


def test_our_client_gets_the_same_over_both_transports(server: ServerProcess, expected: NDArray[np.uint8]) -> None:
    options = SampleOptions(model="moving", precision="fp32")
    for transport in (HttpTransport(Connection(server.http)), GrpcTransport(Connection("", server.grpc))):
        assert np.array_equal(transport.sample(7, 3, None, options), expected)


def test_the_model_says_that_it_moves(http: httpx.Client) -> None:
    assert http.get("/v1/models/moving").json()["shape"] == [T, H, W, 1]
