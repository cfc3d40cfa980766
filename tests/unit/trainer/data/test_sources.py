"""One contract over every kind of data source: the same pictures, however they are packed."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.kit.shared_data import shared_data
from trainer.data import DataConfig, DataSplit, open_data
from trainer.errors import DataError

RANDOM = np.random.default_rng(0)
PER_CLASS, NAMES = 6, ("ant", "bee", "cat")
GREY = RANDOM.integers(0, 256, (18, 10, 8, 1), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (18, 10, 8, 3), dtype=np.uint8)
LABELS = np.repeat(np.arange(3), PER_CLASS)

Pack = Callable[[Path, NDArray[np.uint8], NDArray[np.int64] | None], Path]


def png(pixels: NDArray[np.uint8]) -> bytes:
    """One encoded image."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "png")
    return buffer.getvalue()


def files(images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> dict[str, bytes]:
    """Path and content of each image, under a folder of no meaning and one per class."""
    places = [""] * len(images) if labels is None else [f"{NAMES[label]}/" for label in labels]
    return {f"pictures/{places[row]}{row:03}.png": png(pixels) for row, pixels in enumerate(images)}


def add(archive: tarfile.TarFile, name: str, content: bytes, **fields: object) -> None:
    """A member of a tar file."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    archive.addfile(info, io.BytesIO(content))


def folder(place: Path, images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> Path:
    """Plain files."""
    for name, content in files(images, labels).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place / "pictures"


def zip_file(place: Path, images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> Path:
    """A zip file, with what macOS adds to it."""
    with zipfile.ZipFile(place / "set.zip", "w") as archive:
        archive.writestr("pictures/", b"")
        archive.writestr("__MACOSX/pictures/._000.png", b"nothing")
        archive.writestr("pictures/README.txt", b"hello")
        for name, content in files(images, labels).items():
            archive.writestr(name, content)
    return place / "set.zip"


def tar_gz(place: Path, images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> Path:
    """A compressed tar file."""
    with tarfile.open(place / "set.tar.gz", "w:gz") as archive:
        for name, content in files(images, labels).items():
            add(archive, f"./{name}", content)
    return place / "set.tar.gz"


def npz(place: Path, images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> Path:
    """Arrays by name."""
    if labels is None:
        np.savez(place / "set.npz", images=images)
    else:
        np.savez_compressed(place / "set.npz", x=images, y=np.array(NAMES)[labels])
    return place / "set.npz"


def parquet(place: Path, images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> Path:
    """The Hugging Face layout, in two files."""
    (place / "set").mkdir()
    for part, rows in enumerate((slice(0, 10), slice(10, 18))):
        columns = {"image": pa.array([{"bytes": png(pixels), "path": None} for pixels in images[rows]])}
        if labels is not None:
            columns["label"] = pa.array(labels[rows])
        table = pa.table(columns)
        features = {"image": {"_type": "Image"}, "label": {"names": list(NAMES), "_type": "ClassLabel"}}
        metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
        pq.write_table(table.replace_schema_metadata(metadata), place / "set" / f"train-{part:05}-of-00002.parquet")
    return place / "set"


def shards(place: Path, images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> Path:
    """WebDataset, in two shards, with labels in two ways."""
    (place / "set").mkdir()
    for part, rows in enumerate((range(10), range(10, 18))):
        with tarfile.open(place / "set" / f"train-{part:04}.tar", "w") as archive:
            for row in rows:
                add(archive, f"{row:06}.png", png(images[row]))
                if labels is not None and part == 0:
                    add(archive, f"{row:06}.cls", NAMES[labels[row]].encode())
                elif labels is not None:
                    add(archive, f"{row:06}.json", json.dumps({"label": NAMES[labels[row]]}).encode())
    return place / "set"


SOURCES: list[Pack] = [folder, zip_file, tar_gz, npz, parquet, shards]


def rows_of(data: DataSplit) -> list[tuple[bytes, str]]:
    """Every image with the name of its class, in an order of their own."""
    names = data.train.class_names or ("",)
    parts = (data.train, data.held_out)
    return sorted(
        (image.tobytes(), names[label]) for part in parts for image, label in zip(part.images, part.labels, strict=True)
    )


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("pack", SOURCES)
def test_labelled_pictures(tmp_path: Path, pack: Pack, images: NDArray[np.uint8]) -> None:
    data = open_data(DataConfig(path=str(pack(tmp_path, images, LABELS))))
    assert data.train.class_names == data.held_out.class_names == NAMES
    assert data.train.images.shape[1:] == images.shape[1:]
    assert rows_of(data) == sorted((image.tobytes(), NAMES[label]) for image, label in zip(images, LABELS, strict=True))
    assert len(data.held_out) == 3


@pytest.mark.parametrize("pack", SOURCES)
def test_unlabelled_pictures(tmp_path: Path, pack: Pack) -> None:
    data = open_data(DataConfig(path=str(pack(tmp_path, GREY, None))))
    assert data.train.class_names == ()
    assert rows_of(data) == sorted((image.tobytes(), "") for image in GREY)


@pytest.mark.parametrize("pack", SOURCES)
def test_pictures_are_resized_on_request(tmp_path: Path, pack: Pack) -> None:
    data = open_data(DataConfig(path=str(pack(tmp_path, COLOUR, LABELS)), size=6))
    assert data.train.images.shape == (15, 6, 6, 3)


@pytest.mark.parametrize("pack", SOURCES)
def test_what_does_not_fit_is_refused_with_advice(tmp_path: Path, pack: Pack) -> None:
    with pytest.raises(DataError, match=r"of memory; smaller ones \(--set data.size=64\) or fewer of them"):
        open_data(DataConfig(path=str(pack(tmp_path, GREY, LABELS)), memory_gib=1e-6))


@pytest.mark.parametrize("pack", [zip_file, tar_gz, npz, parquet, shards])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_a_file_that_is_cut_short_is_refused_by_name(tmp_path: Path, pack: Pack, share: float) -> None:
    path = pack(tmp_path, GREY, LABELS)
    file = sorted(path.iterdir())[0] if path.is_dir() else path
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="set") as refusal:
        open_data(DataConfig(path=str(path)))
    assert "\n" not in str(refusal.value)


def test_arrays_may_be_channels_first_and_have_a_test_part(tmp_path: Path) -> None:
    first = COLOUR.transpose(0, 3, 1, 2)
    np.savez(tmp_path / "set.npz", x_train=first, y_train=LABELS + 3, x_test=first[:4], y_test=LABELS[:4, None] + 4)
    data = open_data(DataConfig(path=str(tmp_path / "set.npz")))
    assert np.array_equal(data.train.images, COLOUR)
    assert data.train.class_names == ("3", "4", "5")
    assert data.held_out.labels.tolist() == [1] * 4


def test_a_single_array(tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", GREY[..., 0])
    assert open_data(DataConfig(path=str(tmp_path / "set.npy"))).train.spec.channels == 1


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"images": np.array([None, {}])}, "it holds pickled objects"),
        ({"images": GREY.astype(np.float32)}, "images of type float32; uint8"),
        ({"images": GREY[:, :, 0, 0]}, r"images of shape \(18, 10\)"),
        ({"pictures": GREY}, "no array named images, .* it holds pictures"),
        ({"images": GREY, "labels": LABELS[:-1]}, "18 images but 17 labels"),
        ({"images": GREY, "labels": LABELS / 2}, "labels of type float64"),
        ({"x": GREY, "y": LABELS, "x_test": GREY}, "its test images have no labels"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path: Path, arrays: dict[str, NDArray[np.generic]], message: str) -> None:
    np.savez(tmp_path / "set.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=message):
        open_data(DataConfig(path=str(tmp_path / "set.npz")))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"label": [1, 2]}, "no column 'image'; its columns are label"),
        ({"image": [{"bytes": None, "path": "a.png"}], "label": [1]}, "row 0 has no picture"),
        ({"image": [3], "label": [1]}, "column 'image' holds no encoded pictures"),
        ({"image": [b"no picture"], "label": [1]}, "row 0: cannot be read as an image"),
        ({"image": [png(GREY[0])] * 2, "label": [1, None]}, "1 of 2 rows have no label"),
        ({"image": [png(GREY[0])], "label": [0.5]}, "column 'label' holds neither integers nor text"),
    ],
)
def test_tables_that_do_not_fit(tmp_path: Path, table: dict[str, list[object]], message: str) -> None:
    pq.write_table(pa.table(table), tmp_path / "set.parquet")
    with pytest.raises(DataError, match=message):
        open_data(DataConfig(path=str(tmp_path / "set.parquet")))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"1.cls": b"3"}, "sample '1' has 0 pictures, 1 is needed"),
        ({"1.png": png(GREY[0]), "1.jpg": png(GREY[0]), "1.cls": b"1"}, "sample '1' has 2 pictures"),
        ({"1.png": png(GREY[0]), "1.cls": b"1", "2.png": png(GREY[1])}, "1 of 2 samples have no label"),
        ({"1.png": png(GREY[0]), "1.json": b"{"}, "1.json is no json label"),
    ],
)
def test_shards_that_do_not_fit(tmp_path: Path, members: dict[str, bytes], message: str) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for name, content in members.items():
            add(archive, name, content)
    with pytest.raises(DataError, match=message):
        open_data(DataConfig(path=str(tmp_path / "set.tar")))


@pytest.mark.parametrize("name", ["../up.png", "/etc/up.png", "a/../../up.png", "a\\..\\up.png"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_that_point_outside_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / f"set.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, png(GREY[0]))
    else:
        with tarfile.open(path, "w") as tar:
            add(tar, name, png(GREY[0]))
    with pytest.raises(DataError, match="points outside the archive"):
        open_data(DataConfig(path=str(path)))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_tar_files_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        add(archive, "a.png", b"", type=kind, linkname="/etc/passwd")
    with pytest.raises(DataError, match=r"'a\.png' is a link or a device; only plain files"):
        open_data(DataConfig(path=str(tmp_path / "set.tar")))


def test_links_in_zip_files_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        info = zipfile.ZipInfo("a.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="a link or a device"):
        open_data(DataConfig(path=str(tmp_path / "set.zip")))


def test_encrypted_members_are_refused(tmp_path: Path) -> None:
    path = zip_file(tmp_path, GREY, None)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = content.find(mark)
        while at >= 0:
            content[at + offset] |= 1
            at = content.find(mark, at + 4)
    path.write_bytes(content)
    with pytest.raises(DataError, match="is encrypted"):
        open_data(DataConfig(path=str(path)))


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_bombs_are_refused_before_they_go_off(tmp_path: Path, kind: str) -> None:
    path, zeros = tmp_path / f"set.{kind}", bytes(2**24)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for index in range(12):
                archive.writestr(f"{index}.bmp", b"BM" + zeros)
    else:
        header = io.BytesIO()
        with tarfile.open(fileobj=header, mode="w") as tar:
            for index in range(6):
                add(tar, f"{index}.txt", zeros)
        path.write_bytes(gzip.compress(header.getvalue()))
    with pytest.raises(DataError, match=r"100 times as large as itself|cannot be read as an image"):
        open_data(DataConfig(path=str(path)))


def test_a_header_that_claims_too_much_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", images=GREY)
    content = (tmp_path / "set.npz").read_bytes().replace(b"(18, 10, 8, 1)", b"(99999999, 99)")
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        open_data(DataConfig(path=str(tmp_path / "set.npz")))


def test_pictures_beside_class_folders_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("a/x/1.png", png(GREY[0]))
        archive.writestr("a/2.png", png(GREY[1]))
    with pytest.raises(DataError, match="images lie beside the class folders in 'a'"):
        open_data(DataConfig(path=str(tmp_path / "set.zip")))


def test_files_of_an_unknown_kind_are_refused(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_bytes(struct.pack("<I", 7))
    with pytest.raises(DataError, match=r"unknown kind; --data takes a folder .* or a .zip, .tar, .npz"):
        open_data(DataConfig(path=str(tmp_path / "set.csv")))


def test_cifar_10_as_it_is_distributed() -> None:
    data = open_data(DataConfig(path=str(shared_data("cifar10"))))
    assert data.train.images.shape == (50_000, 32, 32, 3)
    assert len(data.held_out) == 10_000
    assert data.train.class_names[:2] == ("airplane", "automobile")
    assert np.bincount(data.held_out.labels).tolist() == [1000] * 10
