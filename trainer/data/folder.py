"""A folder of image files: one sub-folder per class, or a flat folder without classes."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from trainer.data.images import LabelledImages
from trainer.errors import DataError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm"})
_GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16"})


def read_folder(folder: Path, *, size: int | None) -> LabelledImages:
    """Read every image below `folder`; other files and hidden ones are passed over.

    Grey only where every file is grey, else RGB; transparency is laid on black.

    Args:
        folder: sub-folders are classes in the order of their names; without any, the images are unlabelled.
        size: cut each image to its central square and resize it to this side; None takes them as they are.

    Raises:
        DataError: no images, a single one, an unreadable one, or (without `size`) different sizes.
    """
    classes, files, labels = _list_files(folder)
    images = [_open(path, size) for path in files]
    grey = all(image.mode == "L" for image in images)
    first = images[0].size
    for path, image in zip(files, images, strict=True):
        if image.size != first:
            raise DataError(
                f"{folder}: images differ in size: {files[0].name} has {first[0]}×{first[1]} pixels, "
                f"{path.name} {image.size[0]}×{image.size[1]}; --set data.size=32 makes all of them 32×32"
            )
    return LabelledImages(
        images=np.stack([_pixels(image, grey=grey) for image in images]),
        labels=np.array(labels, dtype=np.int64),
        class_names=tuple(classes),
    )


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


def _open(path: Path, size: int | None) -> Image.Image:
    """One image in mode L or RGB."""
    try:
        with Image.open(path) as opened:
            image = _flatten(opened)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: cannot be read as an image: {error}") from error
    if size is None:
        return image
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.LANCZOS)


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":  # Pillow clips 16-bit levels instead of scaling them
        levels = np.asarray(image, dtype=np.float64) / 257
        return Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8))
    grey = image.mode in _GREY_MODES
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        seen = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", seen.size, (0, 0, 0, 255)), seen)
    return image.convert("L" if grey else "RGB")


def _pixels(image: Image.Image, *, grey: bool) -> NDArray[np.uint8]:
    pixels = np.asarray(image if grey else image.convert("RGB"), dtype=np.uint8)
    return pixels[..., None] if grey else pixels
