"""What an answer looks like in each form."""

import base64
import io
import zipfile

import httpx
import numpy as np
import pytest
from PIL import Image

from runtime.generator import Generator
from runtime.images import Pixels, make_grid
from runtime.package import Package
from runtime.store import DirectoryStore
from service.http_api.negotiation import Answer
from service.http_api.rendering import render
from service.sample_files import encoded_row
from service.sampling import SampleRequest
from tests.kit.tiny_package import publish_tiny
from tests.unit.service.parts import running_engine

BODY = {"seed": 5, "n": 3, "labels": ["1", 2, 3], "precision": "fp32"}


@pytest.fixture(scope="module")
def images(package: Package) -> Pixels:
    return Generator(package, "fp32").sample(np.array([5, 6, 7], np.uint64), np.array([1, 2, 3]))


async def ask(client: httpx.AsyncClient, accept: str, **fields: object) -> httpx.Response:
    answer = await client.post("/v1/samples", json={**BODY, **fields}, headers={"Accept": accept})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == accept
    assert answer.headers["x-latentd-model"] == "tiny@1"
    assert answer.headers["x-latentd-precision"] == "fp32"
    assert answer.headers["x-latentd-seed"] == "5"
    assert answer.headers["x-request-id"]
    return answer


def pixels(content: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(content)))[..., np.newaxis]


async def test_json_names_each_image(client: httpx.AsyncClient, images: Pixels) -> None:
    answer = (await ask(client, "application/json")).json()
    assert (answer["model"], answer["version"], answer["precision"]) == ("tiny", 1, "fp32")
    assert [(image["seed"], image["label"]) for image in answer["data"]] == [(5, 1), (6, 2), (7, 3)]
    for image, expected in zip(answer["data"], images, strict=True):
        np.testing.assert_array_equal(pixels(base64.b64decode(image["b64_json"])), expected)


async def test_a_zip_names_its_files_by_row_seed_and_label(client: httpx.AsyncClient, images: Pixels) -> None:
    archive = zipfile.ZipFile(io.BytesIO((await ask(client, "application/zip")).content))
    assert archive.namelist() == ["000000_seed5_label1.png", "000001_seed6_label2.png", "000002_seed7_label3.png"]
    np.testing.assert_array_equal(pixels(archive.read("000001_seed6_label2.png")), images[1])


async def test_arrays_are_uint8_nhwc(client: httpx.AsyncClient, images: Pixels) -> None:
    npy = np.load(io.BytesIO((await ask(client, "application/x-npy")).content))
    np.testing.assert_array_equal(npy, images)
    npz = np.load(io.BytesIO((await ask(client, "application/x-npz")).content))
    assert sorted(npz) == ["images", "labels", "seeds"]
    np.testing.assert_array_equal(npz["seeds"], [5, 6, 7])
    raw = await ask(client, "application/octet-stream")
    assert (raw.headers["x-latentd-shape"], raw.headers["x-latentd-dtype"]) == ("3,8,8,1", "uint8")
    assert raw.content == images.tobytes()


async def test_several_images_in_one_file_are_a_grid(client: httpx.AsyncClient, images: Pixels) -> None:
    answer = await ask(client, "image/png")
    np.testing.assert_array_equal(pixels(answer.content), make_grid(images))
    explicit = await ask(client, "image/png", layout="grid")
    assert explicit.content == answer.content


async def test_a_png_carries_what_names_it_and_a_grid_no_label_that_is_not_its_own(client: httpx.AsyncClient) -> None:
    one = Image.open(io.BytesIO((await ask(client, "image/png", n=1, labels="2")).content))
    assert one.info == {"model": "tiny", "version": "1", "precision": "fp32", "seed": "5", "label": "2"}
    grid = Image.open(io.BytesIO((await ask(client, "image/png")).content))
    assert grid.info == {"model": "tiny", "version": "1", "precision": "fp32", "seed": "5"}


async def test_an_impossible_layout_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/samples", json={**BODY, "layout": "images"}, headers={"Accept": "image/png"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == (
        "layout: got 'images'; allowed: grid for 3 images in one image/png, or Accept: application/zip"
    )


async def test_class_names_outside_latin_1_survive_every_form(store: DirectoryStore) -> None:
    publish_tiny(store, classes=("猫", "naïve\nname", "../x"), precisions=("fp32",))
    async with running_engine(store) as engine:
        result = await engine.sample(SampleRequest(seed=1, n=3, labels=["猫", "naïve\nname", "../x"]))
        found = [Image.open(io.BytesIO(encoded_row(result, row, result.images[row], "png"))).info for row in range(3)]
        assert [info["label"] for info in found] == ["猫", "naïve\nname", "../x"]
        for media_type in ("application/json", "application/zip", "application/x-npz", "image/png"):
            answer = render(result, Answer(media_type, "png"), "grid" if media_type == "image/png" else "images")
            assert answer.body
            if media_type == "application/zip":
                assert zipfile.ZipFile(io.BytesIO(bytes(answer.body))).namelist()[2] == "000002_seed3_label2.png"
