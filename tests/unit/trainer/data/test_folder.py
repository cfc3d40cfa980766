"""Folders of image files: reading, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.data import DataConfig, open_data
from trainer.errors import DataError


def draw(path: Path, size: tuple[int, int] = (8, 8), colour: tuple[int, int, int] | int = 100) -> None:
    """Write an image of one colour, grey for a plain number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(colour, int) else "RGB", size, colour).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of five grey images."""
    for index in range(5):
        draw(tmp_path / "images" / "cat" / f"{index}.png", colour=index)
        draw(tmp_path / "images" / "dog" / f"{index}.png", colour=100 + index)
    return tmp_path / "images"


def refusal(folder: Path, *, size: int | None = None) -> str:
    """The message with which `folder` is refused."""
    with pytest.raises(DataError) as raised:
        open_data(DataConfig(path=str(folder), size=size))
    return str(raised.value)


def test_classes_come_from_sub_folders(folder: Path) -> None:
    data = open_data(DataConfig(path=str(folder)))
    assert data.train.class_names == ("cat", "dog")
    assert data.train.images.shape == (8, 8, 8, 1)
    assert data.held_out.images.shape == (2, 8, 8, 1)
    everything = np.concatenate([data.train.images, data.held_out.images])[:, 0, 0, 0]
    labels = np.concatenate([data.train.labels, data.held_out.labels])
    assert sorted(zip(everything.tolist(), labels.tolist(), strict=True)) == [
        *((level, 0) for level in range(5)),
        *((100 + level, 1) for level in range(5)),
    ]


def test_one_colour_image_makes_all_rgb(folder: Path) -> None:
    draw(folder / "cat" / "red.png", colour=(255, 0, 0))
    data = open_data(DataConfig(path=str(folder)))
    assert data.train.spec.channels == 3


def test_a_flat_folder_is_unlabelled(tmp_path: Path) -> None:
    for index in range(5):
        draw(tmp_path / f"{index}.jpg", colour=(index, 0, 0))
    data = open_data(DataConfig(path=str(tmp_path)))
    assert data.train.class_names == ()
    assert data.train.spec.classes == 1
    assert data.train.labels.tolist() == [0] * 4


def test_other_and_hidden_files_are_passed_over(folder: Path) -> None:
    (folder / "cat" / "notes.txt").write_text("cats")
    (folder / "cat" / ".hidden.png").write_bytes(b"")
    (folder / ".cache").mkdir()
    assert len(open_data(DataConfig(path=str(folder))).train) == 8


def test_transparency_is_laid_on_black_and_16_bits_are_scaled(tmp_path: Path) -> None:
    for index in range(2):
        Image.new("RGBA", (8, 8), (200, 200, 200, 0)).save(tmp_path / f"clear{index}.png")
    assert open_data(DataConfig(path=str(tmp_path))).train.images.max() == 0
    for path in tmp_path.iterdir():
        path.unlink()
    for index in range(2):
        Image.fromarray(np.full((8, 8), 257 * 50, np.uint16)).save(tmp_path / f"deep{index}.png")
    assert np.unique(open_data(DataConfig(path=str(tmp_path))).train.images).tolist() == [50]


def test_size_cuts_the_central_square_and_resizes(tmp_path: Path) -> None:
    wide = np.zeros((20, 40), np.uint8)
    wide[:, 10:30] = 255
    for index in range(2):
        Image.fromarray(wide).save(tmp_path / f"{index}.png")
    data = open_data(DataConfig(path=str(tmp_path), size=16))
    assert data.train.images.shape == (1, 16, 16, 1)
    assert data.train.images.min() == 255


def test_absent_and_file_paths_are_refused(tmp_path: Path) -> None:
    assert "absent: does not exist; --data takes a folder" in refusal(tmp_path / "absent")
    (tmp_path / "file").write_text("x")
    assert "file: a file of an unknown kind; --data takes a folder" in refusal(tmp_path / "file")


def test_empty_folders_are_refused(tmp_path: Path, folder: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"{empty}: there are no images; read are" in refusal(empty)
    (folder / "bird").mkdir()
    assert "class folder 'bird' has no images" in refusal(folder)


def test_single_images_are_refused(tmp_path: Path, folder: Path) -> None:
    draw(tmp_path / "single" / "only.png")
    assert "holds a single image, only.png; at least 2 are needed" in refusal(tmp_path / "single")
    draw(folder / "bird" / "one.png")
    assert "bird: holds a single image, one.png" in refusal(folder)


def test_mixed_sizes_are_refused_with_advice_that_works(folder: Path) -> None:
    draw(folder / "dog" / "big.png", size=(16, 12))
    message = refusal(folder)
    assert "0.png has 8×8 pixels, big.png 16×12" in message
    assert "--set data.size=32" in message
    assert open_data(DataConfig(path=str(folder), size=32)).train.images.shape[1:] == (32, 32, 1)


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"not an image"])
def test_unreadable_files_are_named(folder: Path, content: bytes) -> None:
    (folder / "cat" / "bad.png").write_bytes(content)
    assert f"{folder / 'cat' / 'bad.png'}: cannot be read as an image" in refusal(folder)


def test_a_truncated_file_is_named(folder: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "cat" / "cut.png")
    whole = (folder / "cat" / "cut.png").read_bytes()
    (folder / "cat" / "cut.png").write_bytes(whole[: len(whole) // 2])
    assert "cut.png: cannot be read as an image" in refusal(folder)


def test_stray_images_beside_class_folders_are_refused(folder: Path) -> None:
    draw(folder / "stray.png")
    assert "1 images (first: stray.png) lie beside the class folders" in refusal(folder)


def test_sides_out_of_range_are_refused(tmp_path: Path) -> None:
    for index in range(2):
        draw(tmp_path / f"{index}.png", size=(300, 2))
    assert "images of 300×2 pixels; sides of 4 to 256 are allowed" in refusal(tmp_path)
