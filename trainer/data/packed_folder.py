"""A zip or tar file of pictures: its folders are classes, as those of a plain folder are."""

import os.path
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from trainer.data.archives import read_members
from trainer.data.decoding import SUFFIXES, Picture, decode_all
from trainer.data.images import LabelledImages
from trainer.data.room import Room
from trainer.errors import DataError


def read_packed_folder(path: Path, *, size: int | None, room: Room) -> LabelledImages:
    """Every picture in `path`; folders that hold all of them do not count as classes.

    Raises:
        DataError: see `read_members` and `decode_all`; pictures beside class folders.
    """
    folders: dict[PurePosixPath, int] = {}

    def pictures() -> Iterator[Picture]:
        for member in read_members(path, SUFFIXES):
            label = folders.setdefault(member.path.parent, len(folders))
            yield Picture(f"{path}: {member.path}", member.content, label)

    images = decode_all(str(path), pictures(), (), size=size, room=room)
    names = _class_names(path, list(folders))
    classes = tuple(sorted(set(names) - {""}))
    if not classes:
        return images
    index = np.array([classes.index(name) for name in names], np.int64)
    return LabelledImages(images.images, index[images.labels], classes)


def _class_names(path: Path, folders: list[PurePosixPath]) -> list[str]:
    """The class that each folder stands for; all empty where there is one folder only."""
    common = PurePosixPath(os.path.commonpath(folders)) if len(folders) > 1 else folders[0]
    below = [folder.relative_to(common).parts for folder in folders]
    if len(folders) > 1 and () in below:
        raise DataError(f"{path}: images lie beside the class folders in {str(common)!r}; move them into one")
    return [parts[0] if parts else "" for parts in below]
