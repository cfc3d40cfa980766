"""`latentd.v1` over gRPC, called with the generated stubs."""

import io

import grpc
import numpy as np
import pytest
from google.rpc.error_details_pb2 import BadRequest
from grpc_status import rpc_status
from PIL import Image

from service.grpc_api._generated.latentd_v1_generation_pb2 import (
    FORMAT_PNG,
    LAYOUT_GRID,
    PRECISION_FP32,
    Label,
    SampleRequest,
)
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from service.grpc_api._generated.latentd_v1_models_pb2 import GetModelRequest, ListModelsRequest
from service.grpc_api._generated.latentd_v1_models_pb2_grpc import ModelsStub


def test_an_empty_request_yields_one_raw_image(channel: grpc.Channel) -> None:
    answer = GenerationStub(channel).Sample(SampleRequest())
    assert (answer.model, answer.version, list(answer.shape)) == ("tiny", 1, [8, 8, 1])
    (image,) = answer.images
    assert len(image.data) == 64
    assert image.label_name == str(image.label)


def test_png_grid(channel: grpc.Channel) -> None:
    request = SampleRequest(model="plain", n=4, seed=3, format=FORMAT_PNG, layout=LAYOUT_GRID)
    answer = GenerationStub(channel).Sample(request)
    (grid,) = answer.images
    assert np.asarray(Image.open(io.BytesIO(grid.data))).shape == (32, 32, 3)
    assert not grid.HasField("label")


def test_labels_and_latents(channel: grpc.Channel) -> None:
    stub = GenerationStub(channel)
    latent = np.linspace(-1, 1, 16, dtype=np.float32)
    by_name = stub.Sample(SampleRequest(latents=latent, labels=[Label(name="3")], precision=PRECISION_FP32))
    by_index = stub.Sample(SampleRequest(latents=latent, labels=[Label(index=3)], precision=PRECISION_FP32))
    assert by_name.images[0].data == by_index.images[0].data
    assert not by_name.images[0].HasField("seed")


def test_errors_carry_the_field_and_the_request_id(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        GenerationStub(channel).Sample(SampleRequest(n=0), metadata=(("x-request-id", "mine-2"),))
    status = rpc_status.from_call(caught.value)  # type: ignore[arg-type]  # every error of a call is a call too
    detail = BadRequest()
    assert status.details[0].Unpack(detail)
    assert detail.field_violations[0].field == "n"
    metadata = {entry.key: entry.value for entry in caught.value.trailing_metadata()}
    assert str(metadata["x-request-id"]) == "mine-2"


def test_a_deadline_that_cannot_be_met_is_an_error_and_harms_nobody(channel: grpc.Channel) -> None:
    stub = GenerationStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Sample(SampleRequest(n=256), timeout=0.000_01)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(stub.Sample(SampleRequest(n=256)).images) == 256


def test_models(channel: grpc.Channel) -> None:
    stub = ModelsStub(channel)
    assert [model.name for model in stub.ListModels(ListModelsRequest()).models] == ["plain", "tiny"]
    tiny = stub.GetModel(GetModelRequest(model="tiny@1"))
    assert (tiny.latent_dim, list(tiny.classes)[:2], list(tiny.versions)) == (16, ["0", "1"], [1])
    assert '"schema_version"' in tiny.manifest_json
