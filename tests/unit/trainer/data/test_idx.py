"""MNIST-style IDX files: reading, and what is refused."""

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kit.shared_data import shared_data
from trainer.data import DataConfig, open_data
from trainer.errors import DataError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (30, 9, 7), dtype=np.uint8)
LABELS = (np.arange(30) % 3).astype(np.uint8)


def encode(array: NDArray[np.uint8]) -> bytes:
    """`array` as an IDX file."""
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small set, half of it compressed."""
    (tmp_path / "train-images-idx3-ubyte").write_bytes(encode(IMAGES))
    (tmp_path / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(encode(LABELS)))
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(encode(IMAGES[:9])))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(encode(LABELS[:9]))
    return tmp_path


def test_reads_the_four_files(folder: Path) -> None:
    data = open_data(DataConfig(path=str(folder)))
    assert np.array_equal(data.train.images[..., 0], IMAGES)
    assert np.array_equal(data.train.labels, LABELS)
    assert data.train.class_names == ("0", "1", "2")
    assert (len(data.held_out), data.train.spec.height, data.train.spec.width) == (9, 9, 7)


def test_labels_need_not_count_from_zero(folder: Path) -> None:
    shifted = np.array([2, 5, 9], np.uint8)[LABELS]
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(encode(shifted)))
    (folder / "t10k-labels-idx1-ubyte").write_bytes(encode(shifted[:9]))
    data = open_data(DataConfig(path=str(folder)))
    assert data.train.class_names == ("2", "5", "9")
    assert np.array_equal(data.train.labels, LABELS)


def test_resizes_on_request(folder: Path) -> None:
    data = open_data(DataConfig(path=str(folder), size=16))
    assert data.train.images.shape == (30, 16, 16, 1)
    assert data.held_out.images.shape == (9, 16, 16, 1)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "train-images-idx3-ubyte",
            None,
            r"the training images are missing: train-images-idx3-ubyte or .*\.gz",
        ),
        ("t10k-labels-idx1-ubyte", None, "the test labels are missing"),
        ("train-images-idx3-ubyte", b"", "not an IDX file of bytes with 3 dimensions"),
        ("train-images-idx3-ubyte", b"\x89PNG" + bytes(40), "not an IDX file of bytes with 3 dimensions"),
        ("train-images-idx3-ubyte", encode(LABELS), "not an IDX file of bytes with 3 dimensions"),
        ("train-images-idx3-ubyte", encode(IMAGES)[:-1], "1889 bytes of data, its header .* says 1890"),
        ("train-images-idx3-ubyte", encode(IMAGES) + b"x", "1891 bytes of data"),
        ("train-images-idx3-ubyte", encode(IMAGES[:0]), "holds no elements"),
        ("train-images-idx3-ubyte", encode(IMAGES[:-1]), "29 training images but 30 training labels"),
        ("train-labels-idx1-ubyte.gz", b"not gzip", "cannot be read"),
        ("train-labels-idx1-ubyte.gz", gzip.compress(encode(LABELS), mtime=0)[:-9], "cannot be read"),
    ],
)
def test_damaged_sets_are_refused_with_the_reason(folder: Path, file: str, content: bytes | None, message: str) -> None:
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(DataError, match=message) as refusal:
        open_data(DataConfig(path=str(folder)))
    assert str(folder) in str(refusal.value)


def test_reads_mnist() -> None:
    data = open_data(DataConfig(path=str(shared_data("mnist"))))
    assert data.train.images.shape == (60_000, 28, 28, 1)
    assert np.bincount(data.held_out.labels).tolist() == [
        980,
        1135,
        1032,
        1010,
        982,
        892,
        958,
        1028,
        974,
        1009,
    ]
