"""Uploads laid out for a job."""

import struct
from pathlib import Path

import numpy as np

from service.files.limits import FileLimits
from service.files.unpacking import unpack
from tests.kit.archives import class_folders, png, tar_of, write, zip_of

LIMITS = FileLimits()


def test_pictures_lie_in_class_folders_and_rejects_do_not(tmp_path: Path) -> None:
    members = {f"around/{name}": content for name, content in class_folders(3).items()}
    content = write(tmp_path, "c", zip_of({**members, "around/3/bad.png": b"junk", "around/notes.txt": b"x"}))
    folder = unpack(content, "image_archive", tmp_path / "data", LIMITS)
    assert sorted(path.name for path in folder.iterdir()) == ["3", "7"]
    assert sorted((path.parent.name, path.read_bytes()) for path in folder.rglob("*.png")) == sorted(
        (name.split("/")[1], content) for name, content in members.items()
    )


def test_a_flat_archive_stays_flat_and_a_second_time_begins_anew(tmp_path: Path) -> None:
    content = write(tmp_path, "c", tar_of({f"x/{n}.png": png(n) for n in range(3)}))
    for _ in range(2):
        folder = unpack(content, "image_archive", tmp_path / "data", LIMITS)
        assert len(list(folder.glob("*.png"))) == 3
        assert len(list(folder.iterdir())) == 3


def test_idx_files_lie_side_by_side(tmp_path: Path) -> None:
    labels = bytes((0, 0, 8, 1)) + struct.pack(">I", 2) + b"\1\2"
    content = write(tmp_path, "c", zip_of({"deep/er/train-labels-idx1-ubyte": labels}))
    folder = unpack(content, "idx_archive", tmp_path / "data", LIMITS)
    assert (folder / "train-labels-idx1-ubyte").read_bytes() == labels


def test_other_kinds_get_their_suffix(tmp_path: Path) -> None:
    content = tmp_path / "c"
    with content.open("wb") as file:
        np.savez(file, images=np.zeros((2, 8, 8), np.uint8))
    path = unpack(content, "npz", tmp_path / "data", LIMITS)
    assert path.suffix == ".npz"
    with np.load(path) as arrays:
        assert arrays["images"].shape == (2, 8, 8)
