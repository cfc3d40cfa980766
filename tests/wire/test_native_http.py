"""`POST /v1/samples` and `/v1/models` as an httpx user meets them."""

import base64
import io
import zipfile

import httpx
import numpy as np
import pytest
from PIL import Image


def pixels(file: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(file)))


def array(client: httpx.Client, **body: object) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    answer = client.post("/v1/samples", json=body, headers={"Accept": "application/x-npy"})
    assert answer.status_code == 200, answer.text
    loaded: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = np.load(io.BytesIO(answer.content))
    return loaded


def test_an_empty_request_is_answered_with_one_image_and_all_that_names_it(http: httpx.Client) -> None:
    answer = http.post("/v1/samples").json()
    (image,) = answer["data"]
    again = http.post(
        "/v1/samples",
        json={
            "model": f"{answer['model']}@{answer['version']}",
            "precision": answer["precision"],
            "seed": image["seed"],
            "labels": image["label"],
        },
    ).json()
    assert again["data"] == [image]
    assert pixels(base64.b64decode(image["b64_json"])).shape == (8, 8)


def test_image_i_of_a_request_can_be_asked_for_alone(http: httpx.Client) -> None:
    together = array(http, seed=100, n=9)
    alone = [array(http, seed=100 + row) for row in range(9)]
    assert np.array_equal(together, np.concatenate(alone))


def test_seeds_may_be_listed(http: httpx.Client) -> None:
    assert np.array_equal(array(http, seeds=[7, 3, 7]), np.concatenate([array(http, seed=s) for s in (7, 3, 7)]))


def test_labels_by_name_by_index_and_one_for_all(http: httpx.Client) -> None:
    by_index = array(http, seed=1, n=3, labels=[4, 4, 4])
    assert np.array_equal(by_index, array(http, seed=1, n=3, labels="4"))
    assert not np.array_equal(by_index, array(http, seed=1, n=3, labels=5))


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_lossless_files_hold_the_pixels_of_the_array(http: httpx.Client, image_format: str) -> None:
    for model, shape in (("tiny", (8, 8)), ("plain", (16, 16, 3))):
        answer = http.post("/v1/samples", json={"model": model, "seed": 5, "format": image_format})
        assert answer.headers["content-type"] == f"image/{image_format}"
        found = pixels(answer.content)
        if image_format == "png":
            assert found.shape == shape
        grey = found[..., 0] if found.ndim == 3 and model == "tiny" else found
        assert np.array_equal(grey.reshape(-1), array(http, model=model, seed=5).reshape(-1))


def test_jpeg_is_close(http: httpx.Client) -> None:
    answer = http.post("/v1/samples", json={"model": "plain", "seed": 5, "format": "jpeg"})
    assert answer.headers["content-type"] == "image/jpeg"
    assert pixels(answer.content).shape == (16, 16, 3)


def test_several_images_in_one_file_make_a_grid(http: httpx.Client) -> None:
    answer = http.post("/v1/samples", json={"n": 9, "seed": 0}, headers={"Accept": "image/png"})
    assert pixels(answer.content).shape == (24, 24)
    images = array(http, n=9, seed=0)
    assert np.array_equal(pixels(answer.content)[8:16, 16:24], images[5, :, :, 0])


def test_grid_as_array_and_in_json(http: httpx.Client) -> None:
    assert array(http, n=4, seed=0, layout="grid").shape == (1, 16, 16, 1)
    answer = http.post("/v1/samples", json={"n": 4, "seed": 0, "layout": "grid"}).json()
    assert pixels(base64.b64decode(answer["data"][0]["b64_json"])).shape == (16, 16)
    assert answer["data"][0]["label"] is None


def test_raw_bytes_say_their_shape_and_type(http: httpx.Client) -> None:
    answer = http.post("/v1/samples", json={"n": 3, "seed": 2, "format": "raw"})
    assert answer.headers["content-type"] == "application/octet-stream"
    shape = tuple(map(int, answer.headers["x-latentd-shape"].split(",")))
    assert answer.headers["x-latentd-dtype"] == "uint8"
    assert np.array_equal(np.frombuffer(answer.content, np.uint8).reshape(shape), array(http, n=3, seed=2))
    assert answer.headers["x-latentd-seed"] == "2"
    assert (answer.headers["x-latentd-model"], answer.headers["x-latentd-precision"]) == ("tiny@1", "int8")


def test_npz_carries_seeds_and_labels(http: httpx.Client) -> None:
    answer = http.post("/v1/samples", json={"n": 3, "seed": 2, "format": "npz"})
    with np.load(io.BytesIO(answer.content)) as file:
        assert file["seeds"].tolist() == [2, 3, 4]
        assert file["images"].shape == (3, 8, 8, 1)
        assert file["labels"].shape == (3,)


def test_zip_names_files_by_seed_and_label(http: httpx.Client) -> None:
    body = {"n": 2, "seed": 40, "labels": [1, 2]}
    answer = http.post("/v1/samples", json=body, headers={"Accept": "application/zip"})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.namelist() == ["000000_seed40_label1.png", "000001_seed41_label2.png"]
        assert np.array_equal(pixels(archive.read("000001_seed41_label2.png")), array(http, **body)[1, :, :, 0])


def test_png_files_say_where_they_come_from(http: httpx.Client) -> None:
    answer = http.post("/v1/samples", json={"seed": 77, "labels": 3, "precision": "fp32", "format": "png"})
    text = Image.open(io.BytesIO(answer.content)).info
    assert text == {"model": "tiny", "version": "1", "precision": "fp32", "seed": "77", "label": "3"}


def test_given_latents_equal_those_of_the_documented_recipe(http: httpx.Client) -> None:
    """The recipe of `runtime.latents`, written out as a client would."""
    seed, dim = 2**53 - 1, 16
    words = np.random.Philox(key=seed).random_raw((dim + 1) // 2)
    radius = np.sqrt(-2 * np.log(((words >> 32) + 0.5) / 2**32))
    angle = 2 * np.pi * ((words & 0xFFFFFFFF) / 2**32)
    latent = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).ravel()[:dim].astype(np.float32)
    label = int(np.random.Philox(key=seed, counter=[0, 0, 0, 1]).random_raw() % 10)
    from_latent = http.post("/v1/samples", json={"latents": [latent.tolist()], "labels": label, "format": "npy"})
    assert np.array_equal(np.load(io.BytesIO(from_latent.content)), array(http, seed=seed))
    assert "x-latentd-seed" not in from_latent.headers


def test_truncation_scales_the_latent(http: httpx.Client) -> None:
    full, half = array(http, seed=1, labels=1), array(http, seed=1, labels=1, truncation=0.5)
    assert not np.array_equal(full, half)
    assert np.array_equal(array(http, seed=1, labels=1, truncation=1.0), full)


def test_a_request_id_is_given_or_kept(http: httpx.Client) -> None:
    assert len(http.post("/v1/samples").headers["x-request-id"]) == 32
    kept = http.post("/v1/samples", json={"n": 0}, headers={"X-Request-Id": "mine-1"})
    assert kept.headers["x-request-id"] == "mine-1"


def test_models_are_listed_and_described(http: httpx.Client) -> None:
    listed = http.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["plain", "tiny"]
    tiny = http.get("/v1/models/tiny").json()
    assert tiny["versions"] == [1]
    assert tiny["refused"] == {}
    assert tiny["manifest"]["latent"] == {"dim": 16, "distribution": "normal"}
    assert tiny["precisions"] == ["fp32", "int8"]


def test_the_page_and_the_documentation_are_served(http: httpx.Client) -> None:
    assert "<title>latentd</title>" in http.get("/").text
    assert http.get("/docs").status_code == 200
    paths = http.get("/openapi.json").json()["paths"]
    assert {"/v1/samples", "/v1/models", "/v1/images/generations", "/v2/models/{name}/infer"} <= set(paths)


def test_metrics_count_what_was_served(http: httpx.Client) -> None:
    def images() -> float:
        lines = http.get("/metrics").text.splitlines()
        wanted = 'latentd_images_total{model="tiny",precision="fp32",version="1"}'
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(wanted))

    before = images()
    array(http, n=5, precision="fp32")
    assert images() == before + 5
