"""Files to pixels of the model's own form, and pixels to the model's neighbours of them."""

import io

import numpy as np
import pytest
from PIL import Image

from runtime.encoder import Encoder
from runtime.latents import latents_from_seeds
from runtime.manifest import Manifest
from runtime.sequences import encode_animation
from runtime.store import DirectoryStore
from service.errors import InvalidRequest, UnsupportedMedia
from service.reconstruction import Reconstruction, find_encoder, read_image, reconstruct
from service.sampling import SampleRequest
from tests.kit.tiny_package import publish_tiny
from tests.unit.service.parts import running_engine

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> DirectoryStore:
    """``seer`` has an encoder, ``blind`` none, ``moving`` makes four frames."""
    store = DirectoryStore(tmp_path_factory.mktemp("encoders") / "models")
    publish_tiny(store, "seer", classes=(), encoder=True, precisions=("fp32",))
    publish_tiny(store, "blind", classes=(), precisions=("fp32",))
    publish_tiny(store, "moving", classes=(), frames=4, encoder=True, precisions=("fp32",))
    return store


@pytest.fixture
def seer(store: DirectoryStore) -> Manifest:
    return store.open("seer", 1).manifest


def file(pixels: np.ndarray, image_format: str = "PNG") -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(content, image_format)
    return content.getvalue()


def pixels(*shape: int) -> np.ndarray:
    return RANDOM.integers(0, 256, shape, dtype=np.uint8)


def test_an_image_of_the_models_form_is_read_as_it_is(seer: Manifest) -> None:
    image = pixels(8, 8, 1)
    for image_format in ("PNG", "GIF"):
        assert np.array_equal(read_image(file(image, image_format), seer), image)


def test_another_size_is_cropped_in_the_middle_and_resized(seer: Manifest) -> None:
    wide = np.zeros((16, 48, 1), dtype=np.uint8)
    wide[:, 16:32] = 200
    assert (read_image(file(wide), seer) == 200).all()
    assert read_image(file(pixels(3, 5, 3)), seer).shape == (8, 8, 1)


@pytest.mark.parametrize("content", [b"", b"not an image", file(pixels(8, 8, 1), "BMP"), file(pixels(8, 8, 1), "TIFF")])
def test_what_is_no_image_of_the_four_formats_is_refused(content: bytes, seer: Manifest) -> None:
    with pytest.raises(UnsupportedMedia, match=r"image: got \d+ bytes that are no image; allowed: PNG, JPEG"):
        read_image(content, seer)


def test_broken_data_is_refused(seer: Manifest) -> None:
    with pytest.raises(InvalidRequest, match="image: broken PNG data"):
        read_image(file(pixels(64, 64, 3))[:600], seer)


def test_a_bomb_is_refused_by_its_size_before_it_is_decoded(seer: Manifest) -> None:
    """24 kB of PNG that would be 400 MB of pixels."""
    content = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(content, "PNG")
    assert len(content.getvalue()) < 100_000
    with pytest.raises(InvalidRequest, match=r"image: (got '20000x20000'|too many pixels)"):
        read_image(content.getvalue(), seer)


def test_an_animation_is_read_at_even_steps_and_a_still_is_none(store: DirectoryStore) -> None:
    moving = store.open("moving", 1).manifest
    frames = np.stack([np.full((8, 8, 1), 30 * index, dtype=np.uint8) for index in range(7)])
    found = read_image(encode_animation(frames), moving)
    assert found[:, 0, 0, 0].tolist() == [0, 60, 120, 180]
    with pytest.raises(InvalidRequest, match="got '1 frames'; allowed: an animation of at least 4"):
        read_image(file(pixels(8, 8, 1)), moving)


async def reconstructed(store: DirectoryStore, model: str, content: bytes, asked: Reconstruction) -> np.ndarray:
    async with running_engine(store, default_model="seer") as engine:
        result, _ = await reconstruct(engine, await find_encoder(engine, model), content, asked)
        return result.images


async def test_a_reconstruction_is_the_generator_after_the_encoder(store: DirectoryStore, seer: Manifest) -> None:
    image = pixels(8, 8, 1)
    mean = Encoder(store.open("seer", 1)).run(image[np.newaxis])
    async with running_engine(store, default_model="seer") as engine:
        expected = await engine.sample(SampleRequest(latents=mean))
        found, _ = await reconstruct(engine, await find_encoder(engine, "seer"), file(image), Reconstruction())
        assert np.array_equal(found.images, expected.images)


async def test_variations_mix_the_noise_of_their_seeds_into_the_latent(store: DirectoryStore) -> None:
    image = pixels(8, 8, 1)
    mean = Encoder(store.open("seer", 1)).run(image[np.newaxis])
    async with running_engine(store, default_model="seer") as engine:
        model = await find_encoder(engine, None)
        asked = Reconstruction(n=3, seed=5, strength=0.6)
        found, seeds = await reconstruct(engine, model, file(image), asked)
        noise = latents_from_seeds([5, 6, 7], 16)
        expected = await engine.sample(SampleRequest(latents=(0.8 * mean + 0.6 * noise).astype(np.float32)))
        assert seeds == [5, 6, 7]
        assert np.abs(found.images.astype(int) - expected.images).max() <= 1, "0.8 and 0.6 are rounded"
        forgotten, _ = await reconstruct(engine, model, file(image), Reconstruction(seed=5, strength=1.0))
        drawn = await engine.sample(SampleRequest(seed=5))
        assert np.array_equal(forgotten.images, drawn.images), "a strength of 1 is the seed's own image"


async def test_a_model_without_an_encoder_is_refused_with_those_that_have_one(store: DirectoryStore) -> None:
    async with running_engine(store, default_model="seer") as engine:
        with pytest.raises(InvalidRequest, match=r"model: got 'blind@1'; allowed: moving, seer"):
            await find_encoder(engine, "blind")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (Reconstruction(strength=1.5), "strength: got 1.5; allowed: a number from 0 to 1"),
        (Reconstruction(n=0), "n: got 0; allowed"),
        (Reconstruction(n=10**9), f"n: got {10**9}; allowed"),
        (Reconstruction(seed=-1), "seed: got -1; allowed"),
        (Reconstruction(labels=["3"]), "labels: got ['3']; allowed: none"),
    ],
)
async def test_a_wrong_field_is_named(asked: Reconstruction, message: str, store: DirectoryStore) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        await reconstructed(store, "seer", file(pixels(8, 8, 1)), asked)
    assert refusal.value.message.startswith(message)
