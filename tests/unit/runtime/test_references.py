"""How people name packages."""

from pathlib import Path

import pytest

from runtime.errors import PackageNotFound
from runtime.references import find_package
from runtime.store import DirectoryStore
from tests.kit.tiny_package import publish_tiny


@pytest.fixture
def two(store: DirectoryStore) -> DirectoryStore:
    """A store with ``tiny@1`` and ``tiny@2``."""
    for variant in range(2):
        publish_tiny(store, variant=variant, precisions=("fp32",))
    return store


@pytest.mark.parametrize(("reference", "version"), [("tiny", 2), ("tiny@1", 1), ("tiny@2", 2)])
def test_names(two: DirectoryStore, reference: str, version: int) -> None:
    assert find_package(reference, two).manifest.version == version


def test_folders(two: DirectoryStore, tmp_path: Path) -> None:
    assert find_package(str(two.root / "tiny" / "1"), DirectoryStore(tmp_path / "none")).manifest.version == 1


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("other", "not in the store, which holds tiny"),
        ("tiny@3", "the store holds tiny@1, tiny@2"),
        ("tiny@x", "the store holds tiny@1, tiny@2"),
        ("../tiny", "not in the store"),
    ],
)
def test_what_is_not_there(two: DirectoryStore, reference: str, message: str) -> None:
    with pytest.raises(PackageNotFound, match=message):
        find_package(reference, two)


def test_an_empty_store_says_so(store: DirectoryStore) -> None:
    with pytest.raises(PackageNotFound, match="holds no packages at all"):
        find_package("tiny", store)
