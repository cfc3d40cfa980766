"""A package on disk: every byte is checked before it is used."""

import hashlib
import os
from pathlib import Path

import pytest

from runtime.errors import PackageCorrupt
from runtime.package import Package, describe_file, open_package
from runtime.store import DirectoryStore
from tests.kit.tiny_package import flip_byte

FILES = ["generator.onnx", "generator.int8.onnx", "expected.npz"]


@pytest.fixture
def package(tiny_store: DirectoryStore) -> Package:
    return tiny_store.open("tiny", 1)


def test_an_intact_package_opens(package: Package) -> None:
    assert open_package(package.path) == package


def test_verified_bytes_are_the_file(package: Package) -> None:
    assert package.read_verified("generator.onnx") == (package.path / "generator.onnx").read_bytes()


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("offset", [0, 100, -1])
def test_one_flipped_byte_is_refused(package: Package, name: str, offset: int) -> None:
    flip_byte(package.path / name, offset)
    with pytest.raises(PackageCorrupt, match=rf"tiny@1: {name} has SHA-256 \w+…, the manifest says"):
        open_package(package.path)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(package: Package, name: str) -> None:
    (package.path / name).unlink()
    with pytest.raises(PackageCorrupt, match=f"tiny@1: {name} cannot be read: No such file or directory"):
        open_package(package.path)


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_is_refused_by_its_size(package: Package, name: str) -> None:
    size = (package.path / name).stat().st_size
    os.truncate(package.path / name, size - 1)
    with pytest.raises(PackageCorrupt, match=f"{name} has {size - 1} bytes, the manifest says {size}"):
        open_package(package.path)


def test_a_folder_in_place_of_a_file_is_refused(package: Package) -> None:
    (package.path / "generator.onnx").unlink()
    (package.path / "generator.onnx").mkdir()
    with pytest.raises(PackageCorrupt, match=r"generator\.onnx cannot be read: Is a directory"):
        open_package(package.path)


def test_a_file_that_changes_after_the_check_is_caught_as_it_is_read(package: Package) -> None:
    opened = open_package(package.path)
    flip_byte(package.path / "generator.onnx")
    with pytest.raises(PackageCorrupt, match=r"generator\.onnx has SHA-256"):
        opened.read_verified("generator.onnx")
    (package.path / "generator.onnx").unlink()
    with pytest.raises(PackageCorrupt, match=r"generator\.onnx cannot be read"):
        opened.read_verified("generator.onnx")


def test_a_stranger_in_the_folder_is_left_alone(package: Package) -> None:
    (package.path / "README.txt").write_text("notes of a person")
    assert open_package(package.path)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_a_file_is_described_by_size_and_hash(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    described = describe_file(tmp_path / "file")
    assert (described.size, described.sha256) == (size, hashlib.sha256(content).hexdigest())
