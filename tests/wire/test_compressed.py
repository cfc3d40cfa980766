"""Precisions of a compressed package over the wire: the same image in any batch, and which one `auto` is."""

import io
from pathlib import Path

import httpx
import numpy as np
import pytest

from runtime.store import DirectoryStore
from tests.kit.server import running_server
from tests.kit.tiny_package import publish_tiny
from trainer.compress.fidelity import BarsConfig
from trainer.compress.fp16 import Fp16Config
from trainer.compress.int8 import Int8Config
from trainer.compress.int8_weights import Int8WeightsConfig
from trainer.compress.quantization import METHODS
from trainer.compress.quantizing import QuantizeRequest, quantize_package

BARS = BarsConfig(min_psnr_db=0)


def compress(store: DirectoryStore, name: str, config: METHODS, cache: Path) -> None:
    quantize_package(QuantizeRequest(name, store.root, config, BARS, 64, cache), print)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> object:
    root = tmp_path_factory.mktemp("compressed")
    store = DirectoryStore(root / "models")
    for name in ("static", "stored"):
        publish_tiny(store, name, precisions=["fp32"], delay=2)
        compress(store, name, Fp16Config(), root / "cache")
    compress(store, "static", Int8Config(images=64), root / "cache")
    compress(store, "stored", Int8WeightsConfig(), root / "cache")
    with running_server(store.root, root / "state") as server:
        yield server.http


def sample(url: str, **body: object) -> tuple[np.ndarray, str]:
    answer = httpx.post(f"{url}/v1/samples", json={"format": "npy", "labels": 3, **body})
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content)), answer.headers["X-Latentd-Precision"]


@pytest.mark.parametrize("model", ["static", "stored"])
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_an_image_is_the_same_at_any_place_of_any_batch(url: str, model: str, precision: str) -> None:
    together, named = sample(url, model=model, precision=precision, seed=40, n=9)
    assert named == precision
    for index in (0, 4, 8):
        alone, _ = sample(url, model=model, precision=precision, seed=40 + index, n=1)
        assert np.array_equal(alone[0], together[index])
    mixed, _ = sample(url, model=model, precision=precision, seeds=[48, 1, 40, 44])
    assert np.array_equal(mixed[[0, 2, 3]], together[[8, 0, 4]])


def test_auto_passes_over_what_is_no_faster(url: str) -> None:
    assert sample(url, model="stored", seed=1, n=1)[1] == "fp32"
