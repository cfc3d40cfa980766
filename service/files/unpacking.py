"""A kept file as `latentd finetune --data` takes it, in the folder of a job.

Archives are unpacked here, by the rules under which they were looked into; pictures that were rejected then are left
out. Everything else gets the suffix by which its kind is known.
"""

import gzip
import os
import shutil
import zlib
from pathlib import Path, PurePosixPath

from runtime.atomic import sync_directory
from service.files.archives import Refused, read_members
from service.files.arrays import is_idx_name
from service.files.class_folders import classes_of
from service.files.findings import FileKind
from service.files.limits import FileLimits
from service.files.pictures import SUFFIXES, BadPicture, look_at

_SUFFIX: dict[FileKind, str] = {"npz": ".npz", "parquet": ".parquet", "webdataset": ".tar"}


def unpack(content: Path, kind: FileKind, folder: Path, limits: FileLimits) -> Path:
    """Lay the images of `content` into `folder`, which is emptied first; returns what ``--data`` is to be.

    Raises:
        Refused: it does not hold what it held when it was looked into.
        OSError: it cannot be written.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if kind == "image_archive":
        _unpack_pictures(content, folder / "images", limits)
        return folder / "images"
    if kind == "idx_archive":
        _unpack_idx(content, folder / "idx", limits)
        return folder / "idx"
    target = folder / f"data{_SUFFIX[kind]}"
    try:
        os.link(content, target)
    except OSError:  # another file system
        shutil.copyfile(content, target)
    return target


def _unpack_pictures(content: Path, folder: Path, limits: FileLimits) -> None:
    """Pictures by class; names of our own, so that nothing in an archive decides where a file comes to lie."""
    unsorted = folder.with_name(".unsorted")
    unsorted.mkdir()
    places: list[str] = []
    for member in read_members(content, limits):
        if member.suffix not in SUFFIXES:
            continue
        try:
            look_at(member.content, limits.side)
        except BadPicture:
            continue
        (unsorted / f"{len(places):08d}{member.suffix}").write_bytes(member.content)
        places.append(str(member.path.parent))
    classes = classes_of(places)
    for file, place in zip(sorted(unsorted.iterdir()), places, strict=True):
        target = folder / (classes[place] or "")
        target.mkdir(parents=True, exist_ok=True)
        file.rename(target / file.name)
    unsorted.rmdir()
    sync_directory(folder)


def _unpack_idx(content: Path, folder: Path, limits: FileLimits) -> None:
    folder.mkdir()
    for member in read_members(content, limits):
        name = PurePosixPath(member.path).name
        if not is_idx_name(name):
            continue
        try:
            found = gzip.decompress(member.content) if name.endswith(".gz") else member.content
        except (OSError, EOFError, zlib.error) as error:
            raise Refused(f"{member.path}: cannot be read: {error}") from error
        (folder / name.removesuffix(".gz")).write_bytes(found)
