"""Images in: reconstructions and the OpenAI client's variations, of models with an encoder."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from PIL import Image

from runtime.encoder import Encoder
from runtime.store import DirectoryStore
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root: Path = tmp_path_factory.mktemp("reconstructions")
    store = DirectoryStore(root / "models")
    publish_tiny(store, "seer", classes=(), encoder=True, precisions=("fp32",))
    publish_tiny(store, "classy", encoder=True, precisions=("fp32",))
    publish_tiny(store, "blind", classes=(), precisions=("fp32",))
    with running_server(store.root, root / "state", "--default-model", "seer") as process:
        yield process


@pytest.fixture(scope="module")
def picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (8, 8), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def client(server: ServerProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as opened:
        yield opened


def pixels(content: bytes) -> Any:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_a_form_and_json_yield_what_the_latent_yields(
    http: httpx.Client, server: ServerProcess, picture: bytes
) -> None:
    form = http.post("/v1/reconstructions", files={"image": picture}, data={"format": "png"})
    assert form.headers["content-type"] == "image/png", form.text
    encoded = {"image": base64.b64encode(picture).decode(), "model": "seer", "format": "npy"}
    as_json = http.post("/v1/reconstructions", json=encoded)
    package = DirectoryStore(server.log.parent.parent / "models").open("seer", 1)
    latents = Encoder(package).run(pixels(picture)[np.newaxis, ..., np.newaxis]).tolist()
    expected = http.post("/v1/samples", json={"latents": latents, "format": "npy"})
    array = np.load(io.BytesIO(expected.content))
    assert np.array_equal(np.load(io.BytesIO(as_json.content)), array)
    assert np.array_equal(pixels(form.content), array[0, ..., 0])
    assert "x-latentd-seed" not in form.headers


def test_a_model_with_classes_takes_a_label(http: httpx.Client, picture: bytes) -> None:
    fields = {"model": "classy", "format": "raw"}
    needs = http.post("/v1/reconstructions", files={"image": picture}, data=fields)
    assert needs.status_code == 400
    assert "labels: got None" in needs.json()["error"]["message"]
    found = [
        http.post("/v1/reconstructions", files={"image": picture}, data={**fields, "label": label}).content
        for label in ("3", "4")
    ]
    assert len(found[0]) == 64
    assert found[0] != found[1]


def test_openai_makes_variations(client: openai.OpenAI, picture: bytes) -> None:
    asked: dict[str, Any] = {"image": picture, "model": "seer", "n": 3, "extra_body": {"seed": 5}}
    answer = client.images.create_variation(**asked)
    assert answer.data is not None
    assert [image.model_extra for image in answer.data] == [{"seed": seed, "label": None} for seed in (5, 6, 7)]
    files = [image.b64_json for image in answer.data]
    assert len(set(files)) == 3
    again = client.images.create_variation(**asked)
    assert again.data is not None
    assert [image.b64_json for image in again.data] == files
    url = client.images.create_variation(image=picture, response_format="url")
    assert url.data is not None
    assert (url.data[0].url or "").startswith("data:image/png;base64,")


def test_openai_learns_which_models_can(client: openai.OpenAI, picture: bytes) -> None:
    with pytest.raises(openai.BadRequestError, match="model: got 'blind@1'; allowed: classy, seer"):
        client.images.create_variation(image=picture, model="blind")


@pytest.mark.parametrize("path", ["/v1/reconstructions", "/v1/images/variations"])
@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ({"json": {}}, 400, "image: got None; allowed"),
        ({"json": {"image": "???"}}, 400, "image: not base64"),
        ({"json": {"image": ""}}, 415, "image: got 0 bytes that are no image"),
        ({"json": {"image": "AAAA", "modle": "seer"}}, 400, "did you mean model?"),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "body: not JSON"),
        ({"data": {"model": "seer"}, "files": {"other": b"x"}}, 400, "image: got no file"),
        ({"files": [("image", b"x"), ("image", b"y")]}, 400, "body: not a form: Too many files"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "body: not a form"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=y"}}, 400, "body: not a form"),
        ({"files": {"image": b"no picture"}}, 415, "image: got 10 bytes that are no image"),
    ],
)
def test_a_wrong_upload_is_refused(
    http: httpx.Client, path: str, sent: dict[str, Any], status: int, words: str
) -> None:
    answer = http.post(path, **sent)
    assert answer.status_code == status, answer.text
    assert words in answer.json()["error"]["message"]


def test_a_bomb_costs_neither_time_nor_memory(http: httpx.Client, server: ServerProcess) -> None:
    file = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(file, "PNG")

    def peak_kb() -> int:
        status = Path(f"/proc/{server.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])

    before = peak_kb()
    answer = http.post("/v1/reconstructions", files={"image": file.getvalue()})
    assert answer.status_code == 400
    assert "allowed: " in answer.json()["error"]["message"]
    assert peak_kb() - before < 20_000
