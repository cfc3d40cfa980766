"""The encoder of a package: what it takes and yields, and what is refused."""

from pathlib import Path

import numpy as np
import pytest

from runtime.encoder import Encoder
from runtime.errors import PackageCorrupt, PackageUnsupported
from runtime.generator import Generator
from runtime.manifest import read_manifest
from runtime.package import Package
from runtime.store import DirectoryStore
from tests.kit.tiny_package import (
    ENCODER_FILE,
    EXPECTED_FILE,
    edit_manifest,
    flip_byte,
    publish_tiny,
    reseal,
    write_expected,
)


@pytest.fixture
def package(tmp_path: Path) -> Package:
    return publish_tiny(DirectoryStore(tmp_path), "tiny", encoder=True, precisions=("fp32",))


def changed(package: Package) -> Package:
    """The package as its files and manifest are now, hashes included."""
    reseal(package.path)
    return Package(package.path, read_manifest(package.path))


def test_the_encoder_is_among_the_stored_files(package: Package) -> None:
    assert ENCODER_FILE in package.manifest.stored_files()


def test_images_go_in_and_latents_come_out(package: Package) -> None:
    images = Generator(package, "fp32").sample(np.arange(5, dtype=np.uint64))
    latents = Encoder(package).run(images)
    assert latents.dtype == np.float32
    assert latents.shape == (5, 16)
    assert np.allclose(Encoder(package).run(images[2:3])[0], latents[2], atol=1e-5)


def test_sequences_have_encoders_too(tmp_path: Path) -> None:
    moving = publish_tiny(DirectoryStore(tmp_path), "moving", frames=3, encoder=True, precisions=("fp32",))
    assert Encoder(moving).run(np.zeros((2, 3, 8, 8, 1), np.uint8)).shape == (2, 16)


@pytest.mark.parametrize(
    "images", [np.zeros((1, 8, 8, 1), np.float32), np.zeros((1, 9, 8, 1), np.uint8), np.zeros((8, 8, 1), np.uint8)]
)
def test_other_images_are_refused_by_size(package: Package, images: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"allowed: uint8 \[n, \*\[8, 8, 1\]\]"):
        Encoder(package).run(images)


def test_a_package_without_one_is_said_to_have_none(tmp_path: Path) -> None:
    plain = publish_tiny(DirectoryStore(tmp_path), "plain", precisions=("fp32",))
    with pytest.raises(PackageUnsupported, match="has no encoder"):
        Encoder(plain)


def test_a_flipped_byte_is_noticed(package: Package) -> None:
    flip_byte(package.path / ENCODER_FILE)
    with pytest.raises(PackageCorrupt, match="SHA-256"):
        Encoder(package)


def test_what_onnxruntime_refuses_is_refused(package: Package) -> None:
    (package.path / ENCODER_FILE).write_bytes(b"no graph")
    with pytest.raises(PackageCorrupt, match="refuses the encoder"):
        Encoder(changed(package))


def test_outputs_must_be_those_recorded(package: Package) -> None:
    with np.load(package.path / EXPECTED_FILE) as recorded:
        arrays = {name: recorded[name] for name in recorded.files}
    write_expected(package.path, **{**arrays, "encoder_latents": arrays["encoder_latents"] + 1})
    with pytest.raises(PackageCorrupt, match=r"differs from expected\.npz by 1\.000"):
        Encoder(changed(package))
    write_expected(package.path, **{**arrays, "encoder_latents": arrays["encoder_latents"][:, :3]})
    with pytest.raises(PackageCorrupt, match="holds"):
        Encoder(changed(package))
    del arrays["encoder_latents"]
    write_expected(package.path, **arrays)
    with pytest.raises(PackageCorrupt, match="cannot be read"):
        Encoder(changed(package))


def test_a_manifest_without_fp32_cannot_have_one(package: Package) -> None:
    def only_int8(data: dict[str, dict[str, object]]) -> None:
        data["precisions"]["int8"] = data["precisions"].pop("fp32")
        data["self_test"]["tolerance"] = {"int8": 1.0}

    edit_manifest(package.path, only_int8)
    with pytest.raises(PackageCorrupt, match="encoder: its self-test needs the precision fp32"):
        read_manifest(package.path)
