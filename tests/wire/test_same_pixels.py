"""One table of requests through every way there is to ask: the same pixels from each."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
import numpy as np
import openai
import pytest
import tritonclient.grpc
import tritonclient.http
from numpy.typing import NDArray
from PIL import Image

from service.grpc_api._generated.latentd_v1_generation_pb2 import Label, Precision, SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from tests.kit.server import ServerProcess

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Asked:
    """A request in the terms that all have: images of seeds ``seed … seed + n - 1``."""

    model: str = "tiny"
    seed: int = 0
    n: int = 1
    label: int | None = None
    truncation: float = 1.0
    precision: str = "fp32"

    @property
    def fields(self) -> dict[str, Any]:
        """As JSON fields, without the label."""
        own = ("model", "seed", "n", "truncation", "precision")
        return {name: getattr(self, name) for name in own}


TABLE = [
    Asked(),
    Asked(n=17, seed=2**53 - 17),
    Asked(n=5, seed=123, label=3),
    Asked(n=5, seed=123, label=3, truncation=0.5),
    Asked(n=5, seed=123, label=3, truncation=0.5, precision="int8"),
    Asked(n=200, seed=10_000, precision="int8"),
    Asked(model="plain", n=3, seed=7),
    Asked(model="plain@1", n=3, seed=7, truncation=0.25),
]


def decoded(items: Any) -> Pixels:
    files = [item["b64_json"] if isinstance(item, dict) else item.b64_json for item in items]
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))) for file in files]
    return np.stack([image.reshape(*image.shape[:2], -1) for image in images])


def native_http(server: ServerProcess, asked: Asked) -> Pixels:
    body = {**asked.fields, "labels": asked.label, "format": "npy"}
    answer = httpx.post(f"{server.http}/v1/samples", json={k: v for k, v in body.items() if v is not None})
    loaded: Pixels = np.load(io.BytesIO(answer.content))
    return loaded


def native_json(server: ServerProcess, asked: Asked) -> Pixels:
    body = {**asked.fields, "labels": asked.label}
    answer = httpx.post(f"{server.http}/v1/samples", json={k: v for k, v in body.items() if v is not None})
    return decoded(answer.json()["data"])


def native_grpc(server: ServerProcess, asked: Asked) -> Pixels:
    with grpc.insecure_channel(server.grpc) as channel:
        answer = GenerationStub(channel).Sample(message(asked))
    return np.stack([np.frombuffer(image.data, np.uint8).reshape(answer.shape) for image in answer.images])


def streamed_grpc(server: ServerProcess, asked: Asked) -> Pixels:
    with grpc.insecure_channel(server.grpc) as channel:
        parts = list(GenerationStub(channel).SampleStream(message(asked)))
    return np.stack([np.frombuffer(part.image.data, np.uint8).reshape(part.shape) for part in parts])


def message(asked: Asked) -> SampleRequest:
    labels = [] if asked.label is None else [Label(index=asked.label)]
    precision = Precision.Value(f"PRECISION_{asked.precision.upper()}")
    return SampleRequest(**{**asked.fields, "precision": precision}, labels=labels)


def openai_images(server: ServerProcess, asked: Asked) -> Pixels:
    prompt = "" if asked.label is None else str(asked.label)
    fields = asked.fields
    with openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as client:
        answer = client.images.generate(model=fields.pop("model"), prompt=prompt, n=fields.pop("n"), extra_body=fields)
    return decoded(answer.data)


def triton(module: Any, address: str, asked: Asked) -> Pixels:
    columns = [("seed", "UINT64", np.arange(asked.seed, asked.seed + asked.n, dtype=np.uint64))]
    columns.append(("truncation", "FP32", np.full(asked.n, asked.truncation, dtype=np.float32)))
    if asked.label is not None:
        columns.append(("label", "INT64", np.full(asked.n, asked.label)))
    inputs = []
    for name, datatype, values in columns:
        inputs.append(module.InferInput(name, [asked.n, 1], datatype))
        inputs[-1].set_data_from_numpy(values.reshape(-1, 1))
    name, _, version = asked.model.partition("@")
    with module.InferenceServerClient(address) as client:
        answer = client.infer(name, inputs, model_version=version, parameters={"precision": asked.precision})
    found: Pixels = answer.as_numpy("images")
    return found


def triton_http(server: ServerProcess, asked: Asked) -> Pixels:
    return triton(tritonclient.http, server.http.removeprefix("http://"), asked)


def triton_grpc(server: ServerProcess, asked: Asked) -> Pixels:
    return triton(tritonclient.grpc, server.grpc, asked)


@pytest.mark.parametrize("asked", TABLE, ids=range(len(TABLE)))
def test_every_way_yields_the_same_pixels(server: ServerProcess, asked: Asked) -> None:
    expected = native_http(server, asked)
    assert len(expected) == asked.n
    for way in (native_json, native_grpc, streamed_grpc, openai_images, triton_http, triton_grpc):
        assert np.array_equal(way(server, asked), expected), way.__name__
