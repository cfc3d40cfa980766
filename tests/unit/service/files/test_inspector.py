"""What uploads are found to hold, and which are refused, in bounded memory."""

import gzip
import io
import json
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from service.files.archives import Refused
from service.files.findings import Findings
from service.files.inspector import inspect
from service.files.limits import FileLimits
from tests.kit.archives import class_folders, png, tar_of, write, zip_of

DEFLATED = zipfile.ZIP_DEFLATED
LIMITS = FileLimits(images=200, side=64)


def found(folder: Path, name: str, content: bytes, limits: FileLimits = LIMITS) -> Findings:
    return inspect(write(folder, "content", content), name, limits)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def idx(array: NDArray[np.generic]) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def parquet(**columns: list[object]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("a.zip", zip_of),
        ("a.tar", tar_of),
        ("a.tar.gz", lambda members: tar_of(members, "w:gz")),
        ("a.tgz", lambda members: tar_of(members, "w:gz")),
        ("a.tar.xz", lambda members: tar_of(members, "w:xz")),
    ],
)
def test_archives_of_class_folders(tmp_path: Path, name: str, pack: Callable[[dict[str, bytes]], bytes]) -> None:
    report = found(tmp_path, name, pack({**class_folders(), "readme.txt": b"hello", "__MACOSX/3/x.png": b"junk"}))
    assert report.kind == "image_archive"
    assert (report.images, report.classes) == (10, {"3": 5, "7": 5})
    assert (report.sizes, report.channels) == ({"8x8": 10}, {"grey": 10})
    assert (report.rejected, report.ignored) == (0, 1)


def test_a_folder_around_the_class_folders_is_none(tmp_path: Path) -> None:
    members = {f"digits/{name}": content for name, content in class_folders().items()}
    assert found(tmp_path, "a.zip", zip_of(members)).classes == {"3": 5, "7": 5}
    flat = {f"digits/{n}.png": png(n) for n in range(4)}
    assert found(tmp_path, "b.zip", zip_of(flat)).classes == {}


def test_a_few_bad_pictures_are_left_out_and_named(tmp_path: Path) -> None:
    members = {**class_folders(20), "3/bad.png": b"not a picture", "7/cut.png": png(1)[:60]}
    report = found(tmp_path, "a.zip", zip_of(members))
    assert (report.images, report.rejected) == (40, 2)
    assert [reject.name for reject in report.rejects] == ["3/bad.png", "7/cut.png"]
    assert "not an image" in report.rejects[0].reason
    with pytest.raises(Refused, match=r"2 of 6 images cannot be used: 3/bad.png \(not an image"):
        found(tmp_path, "a.zip", zip_of({**class_folders(2), "3/bad.png": b"x", "7/bad.png": b"x"}))


def test_npz(tmp_path: Path) -> None:
    images = np.zeros((12, 8, 6, 3), np.uint8)
    report = found(tmp_path, "a.npz", npz(images=images, labels=np.arange(12) % 3))
    assert (report.kind, report.images, report.sizes, report.channels) == ("npz", 12, {"6x8": 12}, {"colour": 12})
    assert report.classes == {"0": 4, "1": 4, "2": 4}


def test_idx_in_an_archive(tmp_path: Path) -> None:
    images, labels = np.zeros((6, 8, 8), np.uint8), np.array([3, 3, 7, 7, 7, 7], np.uint8)
    for suffix, pack in (("", bytes), (".gz", gzip.compress)):
        members = {
            f"set/train-images-idx3-ubyte{suffix}": pack(idx(images)),
            f"set/train-labels-idx1-ubyte{suffix}": pack(idx(labels)),
        }
        report = found(tmp_path, "mnist.zip", zip_of(members))
        assert (report.kind, report.images, report.classes) == ("idx_archive", 6, {"3": 2, "7": 4})
        assert found(tmp_path, "mnist.tar", tar_of(members)) == report


def test_parquet(tmp_path: Path) -> None:
    cells: list[object] = [{"bytes": png(n), "path": None} for n in range(6)]
    report = found(tmp_path, "a.parquet", parquet(image=cells, label=[0, 0, 1, 1, 1, 1]))
    assert (report.kind, report.images, report.classes) == ("parquet", 6, {"0": 2, "1": 4})


def test_web_dataset(tmp_path: Path) -> None:
    members = {}
    for n in range(6):
        members[f"{n:04d}.png"], members[f"{n:04d}.cls"] = png(n), str(n % 2).encode()
    report = found(tmp_path, "a.tar", tar_of(members))
    assert (report.kind, report.images, report.classes) == ("webdataset", 6, {"0": 3, "1": 3})
    report = found(tmp_path, "a.tar", tar_of({"0000.json": json.dumps({"label": "x"}).encode(), **members}))
    assert report.classes == {"0": 2, "1": 3, "x": 1}


def encrypted() -> bytes:
    content = bytearray(zip_of(class_folders(2)))
    content[6] |= 1  # the flag of the first local header, and of the first entry of the directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def linked(kind: bytes, target: str) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("3/link.png")
        info.type, info.linkname = kind, target
        archive.addfile(info)
    return file.getvalue()


def zip_link() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        info = zipfile.ZipInfo("3/link.png")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return file.getvalue()


HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "zip bomb": (
        "a.zip",
        lambda: zip_of({"3/a.png": bytes(80 << 20)}, compression=DEFLATED),
        "larger than",
    ),
    "many small bombs": (
        "a.zip",
        lambda: zip_of({f"3/{n}.png": bytes(1 << 20) for n in range(100)}, compression=DEFLATED),
        "its contents are larger than 64 MiB",
    ),
    "tar bomb": ("a.tar.gz", lambda: tar_of({"3/a.png": bytes(80 << 20)}, "w:gz"), "larger than"),
    "npz bomb": ("a.npz", lambda: npz(images=np.zeros((199, 64, 64, 3), np.uint8), x=np.zeros(1 << 21)), ""),
    "parent path": ("a.zip", lambda: zip_of({"../../evil.png": png()}), "points outside"),
    "absolute path": ("a.tar", lambda: tar_of({"/etc/evil.png": png()}), "points outside"),
    "backslashes": ("a.zip", lambda: zip_of({"..\\evil.png": png()}), "points outside"),
    "symlink in a zip": ("a.zip", zip_link, "a link or a device"),
    "symlink in a tar": ("a.tar", lambda: linked(tarfile.SYMTYPE, "/etc/passwd"), "a link or a device"),
    "hard link": ("a.tar", lambda: linked(tarfile.LNKTYPE, "../x"), "a link or a device"),
    "device": ("a.tar", lambda: linked(tarfile.CHRTYPE, ""), "a link or a device"),
    "too many members": ("a.zip", lambda: zip_of({f"{n}.txt": b"" for n in range(201)}), "more than 200 members"),
    "too many in a tar": ("a.tar", lambda: tar_of({f"{n}.txt": b"" for n in range(201)}), "more than 200 members"),
    "cut zip": ("a.zip", lambda: zip_of(class_folders())[:-200], "no known kind, or damaged"),
    "cut tar": ("a.tar", lambda: tar_of(class_folders())[: 7 * 512 + 80], "cannot be read"),
    "cut gzip": ("a.tar.gz", lambda: tar_of(class_folders(30), "w:gz")[:-400], "cannot be read"),
    "encrypted": ("a.zip", encrypted, "encrypted"),
    "not an archive": ("a.zip", lambda: b"hello " * 100, "no known kind"),
    "empty": ("a.zip", lambda: b"", "is empty"),
    "no images": ("a.zip", lambda: zip_of({"readme.txt": b"x"}), "no images"),
    "one huge image": ("a.zip", lambda: zip_of({"3/a.png": png(0, 65)}), "65x65 pixels; allowed: sides up to 64"),
    "wrong extension": ("a.tar", lambda: zip_of(class_folders()), "its name ends in '.tar'"),
    "parquet called zip": ("a.zip", lambda: parquet(image=[png()]), "its name ends in '.zip'"),
    "images beside folders": ("a.zip", lambda: zip_of({**class_folders(), "b.png": png()}), "beside the class folders"),
    "pickle in npz": ("a.npz", lambda: npz(images=np.array([{}], dtype=object)), "pickled"),
    "floats in npz": ("a.npz", lambda: npz(images=np.zeros((2, 8, 8))), "type float64"),
    "no images in npz": ("a.npz", lambda: npz(weights=np.zeros(3, np.uint8)), "no array called images"),
    "labels that do not match": (
        "a.npz",
        lambda: npz(images=np.zeros((4, 8, 8), np.uint8), labels=np.zeros(3, int)),
        "for 4 images",
    ),
    "too many in npz": ("a.npz", lambda: npz(images=np.zeros((201, 8, 8), np.uint8)), "201 images"),
    "idx without labels": (
        "a.zip",
        lambda: zip_of({"train-images-idx3-ubyte": idx(np.zeros((2, 8, 8), np.uint8))}),
        "train-labels-idx1-ubyte or train-labels-idx1-ubyte.gz is missing",
    ),
    "idx that lies": (
        "a.zip",
        lambda: zip_of({"train-images-idx3-ubyte": b"\0\0\x08\x03" + struct.pack(">3I", 9, 8, 8)}),
        "its header says",
    ),
    "parquet without images": ("a.parquet", lambda: parquet(pixels=[1]), "no column 'image'"),
    "parquet of junk": ("a.parquet", lambda: parquet(image=[b"junk"]), "row 0: not an image"),
    "parquet that is none": ("a.parquet", lambda: b"PAR1" + b"\0" * 100, "cannot be read"),
    "sample without a picture": ("a.tar", lambda: tar_of({"0.cls": b"1", "1.cls": b"1"}), "has 0 pictures"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_refused_says_why_in_bounded_memory(tmp_path: Path, case: str) -> None:
    name, make, words = HOSTILE[case]
    path = write(tmp_path, "content", make())
    limits = LIMITS.model_copy(update={"unpacked_bytes": 16 << 20}) if case == "npz bomb" else LIMITS
    words = "larger than 16 MiB" if case == "npz bomb" else words
    tracemalloc.start()
    with pytest.raises(Refused, match=words):
        inspect(path, name, limits)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 << 20, f"{peak >> 20} MiB"  # a member of 64 MiB, and what a decompressor gives out at once
    assert [entry.name for entry in tmp_path.iterdir()] == ["content"]
