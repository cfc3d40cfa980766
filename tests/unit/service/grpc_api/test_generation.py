"""The native gRPC service: convert, call the engine, convert."""

import io
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from runtime.generator import Generator
from runtime.latents import latents_from_seeds
from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_generation_pb2 import Label, SampleRequest, SampleResponse
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.grpc_api._generated.latentd_v1_models_pb2 import GetModelRequest, ListModelsRequest
from service.grpc_api._generated.latentd_v1_models_pb2_grpc import ModelsStub
from tests.unit.service.grpc_api.conftest import Running


async def sample(running: Running, **fields: Any) -> SampleResponse:
    answer: SampleResponse = await GenerationStub(running.channel).Sample(SampleRequest(**fields), timeout=20)
    return answer


async def test_images_are_the_generators_own(running: Running, wordy_store: DirectoryStore) -> None:
    answer = await sample(running, seed=5, n=3, labels=[Label(name="7")], precision=1)
    expected = Generator(wordy_store.open("tiny", 1), "fp32").sample(np.array([5, 6, 7], np.uint64), np.full(3, 7))
    assert (answer.model, answer.version, answer.precision, list(answer.shape)) == ("tiny", 1, 1, [8, 8, 1])
    assert [(image.seed, image.label, image.label_name) for image in answer.images] == [
        (5, 7, "7"),
        (6, 7, "7"),
        (7, 7, "7"),
    ]
    assert [image.data for image in answer.images] == [pixels.tobytes() for pixels in expected]


async def test_latents_instead_of_a_seed_give_the_same_image(running: Running) -> None:
    by_seed = await sample(running, seed=5, labels=[Label(index=1)], precision=1)
    flat = latents_from_seeds([5], 16).ravel().tolist()
    by_latents = await sample(running, latents=flat, labels=[Label(index=1)], precision=1)
    assert by_seed.images[0].data == by_latents.images[0].data
    assert not by_latents.images[0].HasField("seed")


async def test_a_grid_is_one_file_without_a_label(running: Running) -> None:
    answer = await sample(running, seed=1, n=4, format=1, layout=1)
    assert len(answer.images) == 1
    assert not answer.images[0].HasField("label")
    picture = Image.open(io.BytesIO(answer.images[0].data))
    assert picture.size == (16, 16)
    assert "label" not in picture.info


async def test_a_model_without_classes_answers_without_labels(running: Running) -> None:
    answer = await sample(running, model="plain", n=2)
    assert not any(image.HasField("label") or image.label_name for image in answer.images)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"n": 0}, "n: got 0; allowed: an integer from 1 to 64"),
        ({"seed": -1}, "seed: got -1; allowed: integers from 0 to"),
        ({"labels": [Label()]}, "labels: got 'an empty label'; allowed: index or name"),
        ({"labels": [Label(name="x")]}, "labels: got 'x'; allowed: class names 0, 1"),
        ({"latents": [0.0] * 17}, "latents: got 17 numbers; allowed: n × 16, the model's latent_dim"),
        ({"truncation": 0.0}, "truncation: got 0.0; allowed: a number above 0 and at most 1"),
        ({"precision": 9}, "precision: got 9; allowed: PRECISION_AUTO, PRECISION_FP32"),
        ({"format": 9}, "format: got 9; allowed: FORMAT_RAW, FORMAT_PNG"),
        ({"priority": 9}, "priority: got 9; allowed: PRIORITY_INTERACTIVE, PRIORITY_BULK"),
        ({"layout": 9}, "layout: got 9; allowed: LAYOUT_IMAGES, LAYOUT_GRID"),
        ({"model": "tiny@x"}, "model: got 'tiny@x'; allowed: name, or name@version"),
    ],
)
async def test_a_refused_field_is_named(running: Running, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await sample(running, **fields)
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (refusal.value.details() or "").startswith(message)


async def test_a_refusal_with_long_class_names_still_arrives_as_what_it_is(running: Running) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await sample(running, model="wordy", labels=[Label(name="x")])
    assert refusal.value.code() is grpc.StatusCode.INVALID_ARGUMENT, refusal.value.details()
    assert (refusal.value.details() or "").startswith("labels: got 'x'; allowed: class names 猫0")


async def test_models_are_listed_and_described(running: Running) -> None:
    listed = await ModelsStub(running.channel).ListModels(ListModelsRequest())
    assert [model.name for model in listed.models] == ["plain", "tiny", "wordy"]
    model = await ModelsStub(running.channel).GetModel(GetModelRequest(model="tiny@1"))
    assert (model.version, list(model.versions), model.latent_dim, list(model.shape)) == (1, [1], 16, [8, 8, 1])
    assert list(model.precisions) == ["fp32", "int8"]
