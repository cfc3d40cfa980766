"""A folder of image files: one sub-folder per class, or a flat folder without classes."""

from pathlib import Path

from trainer.data.decoding import SUFFIXES, Picture, decode_all
from trainer.data.images import LabelledImages
from trainer.data.room import Room
from trainer.errors import DataError


def read_folder(folder: Path, *, size: int | None, room: Room) -> LabelledImages:
    """Read every image below `folder`; other files and hidden ones are passed over.

    Grey only where every file is grey, else RGB; transparency is laid on black.

    Args:
        folder: sub-folders are classes in the order of their names; without any, the images are unlabelled.
        size: cut each image to its central square and resize it to this side; None takes them as they are.
        room: for the pixels.

    Raises:
        DataError: no images, a single one, an unreadable one, no room, or (without `size`) different sizes.
    """
    classes, files, labels = _list_files(folder)
    pictures = (Picture(str(path), _read(path), label) for path, label in zip(files, labels, strict=True))
    return decode_all(str(folder), pictures, tuple(classes), size=size, room=room)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _list_files(folder: Path) -> tuple[list[str], list[Path], list[int]]:
    """Class names, image files, and the class index of each file."""
    subfolders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    classes = [subfolder.name for subfolder in subfolders]
    files: list[Path] = []
    labels: list[int] = []
    for label, place in enumerate(subfolders or [folder]):
        found = sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        if not found:
            what = f"class folder {place.name!r} has" if subfolders else "there are"
            raise DataError(f"{folder}: {what} no images; read are {', '.join(sorted(SUFFIXES))}")
        if len(found) == 1:
            raise DataError(f"{place}: holds a single image, {found[0].name}; at least 2 are needed")
        files += found
        labels += [label] * len(found)
    if subfolders:
        stray = sorted(p.name for p in folder.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES)
        if stray:
            raise DataError(
                f"{folder}: {len(stray)} images (first: {stray[0]}) lie beside the class folders; move them into one"
            )
    return classes, files, labels
