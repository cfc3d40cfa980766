"""The unmodified `openai` package as the client."""

import base64
import io
from collections.abc import Iterator

import numpy as np
import openai
import pytest
from PIL import Image

from tests.kit.server import ServerProcess


@pytest.fixture
def client(server: ServerProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as opened:
        yield opened


def test_images_are_generated_of_the_class_the_prompt_names(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="tiny", prompt="3", n=2, extra_body={"seed": 11})
    assert answer.data is not None
    assert [image.model_extra for image in answer.data] == [{"seed": 11, "label": 3}, {"seed": 12, "label": 3}]
    picture = Image.open(io.BytesIO(base64.b64decode(answer.data[0].b64_json or "")))
    assert picture.size == (8, 8)


def test_an_empty_prompt_means_any_class(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="tiny", prompt="", n=20, extra_body={"seed": 0})
    assert answer.data is not None
    assert len({image.model_extra["label"] for image in answer.data if image.model_extra}) > 3


def test_url_format_yields_a_data_url(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="plain", prompt="", response_format="url", size="auto")
    assert answer.data is not None
    assert (answer.data[0].url or "").startswith("data:image/png;base64,")


def test_same_pixels_as_the_native_call(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="tiny", prompt="5", extra_body={"seed": 1, "precision": "fp32"})
    native = client.post(
        "/samples", body={"model": "tiny", "labels": 5, "seed": 1, "precision": "fp32"}, cast_to=dict[str, object]
    )
    assert answer.data is not None
    (image,) = native["data"]  # type: ignore[misc]
    assert answer.data[0].b64_json == image["b64_json"]  # type: ignore[has-type]


def test_models_can_be_listed_and_retrieved(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["plain", "tiny"]
    assert client.models.retrieve("tiny").owned_by == "latentd"


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"model": "nothing", "prompt": ""}, openai.NotFoundError, "nothing"),
        ({"model": "tiny", "prompt": "cat"}, openai.BadRequestError, "'cat'"),
        ({"model": "tiny", "prompt": "1", "n": 0}, openai.BadRequestError, "1 to 256"),
        ({"model": "tiny", "prompt": "1", "size": "1024x1024"}, openai.BadRequestError, "8x8"),
    ],
)
def test_errors_reach_the_client_as_its_own_classes(
    client: openai.OpenAI, arguments: dict[str, object], error: type[openai.APIStatusError], words: str
) -> None:
    with pytest.raises(error) as caught:
        client.images.generate(**arguments)  # type: ignore[call-overload]
    assert words in str(caught.value)
    assert caught.value.request_id


def test_pixels_decode_to_the_models_size(client: openai.OpenAI) -> None:
    answer = client.images.generate(model="plain", prompt="", output_format="webp")
    assert answer.data is not None
    file = base64.b64decode(answer.data[0].b64_json or "")
    assert np.asarray(Image.open(io.BytesIO(file))).shape == (16, 16, 3)
