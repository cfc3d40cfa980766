"""From one seed to another, over HTTP and gRPC."""

import base64
import io
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageSequence

from service.grpc_api._generated.latentd_v1_generation_pb2 import (
    FORMAT_GIF,
    INTERPOLATION_MODE_LERP,
    PRECISION_FP32,
    InterpolateRequest,
    Label,
)
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub

ASKED = {"from_seed": 11, "to_seed": 12, "steps": 6, "labels": 3, "precision": "fp32"}


def ask(http: httpx.Client, accept: str = "*/*", **fields: Any) -> httpx.Response:
    return http.post("/v1/interpolations", json={**ASKED, **fields}, headers={"Accept": accept})


@pytest.fixture
def frames(http: httpx.Client) -> NDArray[np.uint8]:
    loaded: NDArray[np.uint8] = np.load(io.BytesIO(ask(http, format="npy").content))
    return loaded


def test_the_ends_are_the_samples_of_the_two_seeds(http: httpx.Client, frames: NDArray[np.uint8]) -> None:
    body = {"seeds": [11, 12], "labels": 3, "precision": "fp32", "format": "npy"}
    ends = np.load(io.BytesIO(http.post("/v1/samples", json=body).content))
    assert frames.shape == (6, 8, 8, 1)
    assert np.array_equal(frames[[0, -1]], ends)
    assert len({frame.tobytes() for frame in frames}) == 6


def test_json_has_a_frame_for_each_step(http: httpx.Client, frames: NDArray[np.uint8]) -> None:
    answer = ask(http).json()
    assert [item["position"] for item in answer["data"]] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert {item["label"] for item in answer["data"]} == {3}
    assert (answer["from_seed"], answer["to_seed"], answer["mode"], answer["version"]) == (11, 12, "slerp", 1)
    found = [np.asarray(Image.open(io.BytesIO(base64.b64decode(item["b64_json"])))) for item in answer["data"]]
    assert np.array_equal(np.stack(found), frames[..., 0])


@pytest.mark.parametrize("file_format", ["gif", "webp"])
def test_an_animation_shows_every_step(http: httpx.Client, file_format: str, frames: NDArray[np.uint8]) -> None:
    answer = ask(http, format=file_format)
    assert answer.headers["content-type"] == f"image/{file_format}"
    with Image.open(io.BytesIO(answer.content)) as file:
        found = np.stack([np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(file)])
    assert np.array_equal(found, frames[..., 0])


def test_a_png_is_a_film_strip_and_json_may_carry_one_animation(http: httpx.Client, frames: NDArray[np.uint8]) -> None:
    strip = np.asarray(Image.open(io.BytesIO(ask(http, "image/png").content)))
    assert np.array_equal(strip, np.concatenate(list(frames[..., 0]), axis=1))
    (item,) = ask(http, "application/json", format="gif").json()["data"]
    assert base64.b64decode(item["b64_json"]).startswith(b"GIF89a")


def test_grpc_yields_the_same(channel: grpc.Channel, http: httpx.Client, frames: NDArray[np.uint8]) -> None:
    stub = GenerationStub(channel)
    request = InterpolateRequest(from_seed=11, to_seed=12, steps=6, labels=[Label(name="3")], precision=PRECISION_FP32)
    answer = stub.Interpolate(request)
    found = np.stack([np.frombuffer(image.data, np.uint8).reshape(answer.shape) for image in answer.images])
    assert np.array_equal(found, frames)
    request.format = FORMAT_GIF
    animation = stub.Interpolate(request)
    assert list(animation.shape) == [6, 8, 8, 1]
    assert animation.images[0].data == ask(http, format="gif").content
    request.mode = INTERPOLATION_MODE_LERP
    assert stub.Interpolate(request).images[0].data != animation.images[0].data


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"steps": 1}, "steps: got 1; allowed: an integer from 2 to 256"),
        ({"steps": 10**15}, "steps: got"),
        ({"from_seed": -1}, "from_seed: got -1"),
        ({"mode": "cubic"}, "mode: got 'cubic'"),
        ({"labels": "cat"}, "labels: got 'cat'"),
        ({"step": 3}, "did you mean steps?"),
        ({"timeout_ms": 0}, "timeout_ms: got 0"),
        ({"format": "bmp"}, "format: got 'bmp'"),
    ],
)
def test_a_wrong_field_is_named(http: httpx.Client, fields: dict[str, Any], words: str) -> None:
    answer = ask(http, **fields)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def test_both_seeds_are_needed(http: httpx.Client) -> None:
    answer = http.post("/v1/interpolations", json={"from_seed": 1})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == "to_seed: got nothing; allowed: a value, it is needed"
