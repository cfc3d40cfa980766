"""One contract over every format: what was drawn is what strangers read, whatever became of the first run."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset as wds
from numpy.typing import NDArray
from PIL import Image

from runtime.generator import Generator
from runtime.manifest import Output
from runtime.package import Package, describe_file
from runtime.sequences import FileFormat
from runtime.store import DirectoryStore
from runtime.synthesis.drawing import Drawer, Tally
from runtime.synthesis.plan import Format
from runtime.synthesis.run import SynthesisOptions, make_plan
from runtime.synthesis.workplace import open_workplace
from runtime.synthesis.writers import WRITERS, Target, Writer
from tests.kit.data_sets import contents, synthesize_into
from tests.kit.tiny_package import publish_tiny
from trainer.data import DataConfig, open_data

NAMES = ("ant", "bee", "cat/dog", "ünit")
FOLDER_NAMES = ("ant", "bee", "cat", "ünit")
PER_CLASS, PART = 13, 20
FORMATS: tuple[Format, ...] = get_args(Format)

Row = tuple[NDArray[np.uint8], str | None]
Read = Callable[[Path], Iterator[Row]]
"""Rows of a set as a stranger reads them: pixels and the name of the class."""


def pixels(content: bytes) -> NDArray[np.uint8]:
    """An image file, ``[H, W, C]``, or ``[T, H, W, C]`` of an animation."""
    with Image.open(io.BytesIO(content)) as image:
        frames = []
        for index in range(getattr(image, "n_frames", 1)):
            image.seek(index)
            frames.append(
                np.asarray(image.convert("RGB") if image.format == "WEBP" and image.mode == "RGBA" else image)
            )
    array = np.stack(frames) if len(frames) > 1 else frames[0]
    return array if array.shape[-1] == 3 else array[..., None]


def read_folder(folder: Path) -> Iterator[Row]:
    """As `ImageFolder` does."""
    for path in sorted(folder.rglob("*.png")):
        yield pixels(path.read_bytes()), None if path.parent == folder else path.parent.name


def read_webdataset(folder: Path) -> Iterator[Row]:
    """With the library of that name, which gives labels as integers."""
    names = (folder / "labels.txt").read_text().splitlines() if (folder / "labels.txt").exists() else []
    shards = sorted(str(path) for path in folder.glob("train-*.tar"))
    for sample in wds.WebDataset(shards, shardshuffle=False).decode("rgb8", partial=True):
        image = sample["png"]
        label = sample.get("cls")
        yield image, None if label is None else names[label]


def read_parquet(folder: Path) -> Iterator[Row]:
    """With pyarrow, names from the features that `datasets` looks at."""
    for path in sorted(folder.glob("train-*.parquet")):
        table = pq.read_table(path)
        features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
        for row in table.to_pylist():
            name = features["label"]["names"][row["label"]] if "label" in row else None
            assert row["image"]["path"] == f"{row['seed']:016d}.png"
            yield pixels(row["image"]["bytes"]), name


def read_npz(folder: Path) -> Iterator[Row]:
    """With NumPy."""
    with np.load(folder / "train.npz", allow_pickle=False) as data:
        names = [str(data["class_names"][label]) for label in data["labels"]] if "labels" in data else None
        for index, image in enumerate(data["images"]):
            yield image, names[index] if names else None


def read_idx(folder: Path) -> Iterator[Row]:
    """By the format's description alone."""
    names = (folder / "labels.txt").read_text().splitlines()
    images, labels = ((folder / f"train-{part}-ubyte").read_bytes() for part in ("images-idx3", "labels-idx1"))
    shape = [int(size) for size in np.frombuffer(images, ">i4", 3, 4)]
    assert (images[:4], labels[:4], np.frombuffer(labels, ">i4", 1, 4)[0]) == (b"\0\0\x08\3", b"\0\0\x08\1", shape[0])
    array = np.frombuffer(images, np.uint8, offset=16).reshape(*shape, 1)
    for index, label in enumerate(labels[8:]):
        yield array[index], names[label]


READ: dict[Format, Read] = {
    "folder": read_folder,
    "webdataset": read_webdataset,
    "parquet": read_parquet,
    "npz": read_npz,
    "idx": read_idx,
}


@dataclass(frozen=True)
class Case:
    """A package of some kind, and the rows a set of it has."""

    package: Package
    options: dict[str, Any]
    images: NDArray[np.uint8]
    names: list[str | None]


def case(root: Path, classes: tuple[str, ...], **kind: int) -> Case:
    """Rows as the row seeds define them, computed apart from the code under test."""
    package = publish_tiny(DirectoryStore(root), classes=classes, precisions=("fp32",), **kind)  # type: ignore[arg-type]
    rows = PER_CLASS * len(classes) or 50
    labels = np.arange(rows) % len(classes) if classes else None
    images = Generator(package, "fp32").sample(np.arange(7, 7 + rows, dtype=np.uint64), labels)
    amount = {"per_class": PER_CLASS} if classes else {"count": rows}
    names = [None if labels is None else classes[labels[row]] for row in range(rows)]
    return Case(package, {"seed": 7, **amount}, images, names)


@pytest.fixture(scope="module")
def grey(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case(tmp_path_factory.mktemp("grey"), FOLDER_NAMES)


@pytest.fixture(scope="module")
def colour(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case(tmp_path_factory.mktemp("colour"), FOLDER_NAMES, channels=3)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case(tmp_path_factory.mktemp("unlabelled"), ())


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return case(tmp_path_factory.mktemp("moving"), FOLDER_NAMES, frames=5)


def as_set(rows: Iterator[Row] | list[Row]) -> list[tuple[str, bytes]]:
    """Rows without an order."""
    return sorted((name or "", image.tobytes()) for image, name in rows)


def held(*kinds: str) -> list[tuple[str, Format]]:
    """Kinds of rows with each format that holds them; what IDX refuses is looked at below."""
    return [(kind, name) for kind in kinds for name in FORMATS if kind == "grey" or name != "idx"]


@pytest.mark.parametrize(("kind", "file_format"), held("grey", "colour", "unlabelled"))
def test_strangers_read_what_was_drawn(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, file_format: Format
) -> None:
    found: Case = request.getfixturevalue(kind)
    outcome = synthesize_into(
        tmp_path, found.package, SynthesisOptions(format=file_format, **found.options), part_rows=PART
    )
    rows = list(READ[file_format](tmp_path))
    expected = list(zip(found.images, found.names, strict=True))
    assert (len(rows), outcome.rows) == (len(expected), len(expected))
    assert all(image.shape[:2] == found.images.shape[1:3] for image, _ in rows)
    if file_format == "webdataset" and kind != "colour":  # it decodes to RGB
        expected = [(image.repeat(3, -1), name) for image, name in expected]
    assert as_set(rows) == as_set(expected)
    if file_format != "folder":  # which has no order
        assert [name for _, name in rows] == found.names


@pytest.mark.parametrize(("kind", "file_format"), held("grey", "colour", "unlabelled"))
def test_the_trainer_reads_it_back(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, file_format: Format
) -> None:
    found: Case = request.getfixturevalue(kind)
    synthesize_into(tmp_path, found.package, SynthesisOptions(format=file_format, **found.options), part_rows=PART)
    data = open_data(DataConfig(path=str(tmp_path)))
    assert data.train.class_names == tuple(found.package.manifest.classes)
    rows = [
        (image, data.train.class_names[label] if data.train.class_names else None)
        for part in (data.train, data.held_out)
        for image, label in zip(part.images, part.labels, strict=True)
    ]
    assert as_set(rows) == as_set(list(zip(found.images, found.names, strict=True)))


def test_the_trainer_reads_sequences_back_from_npz(moving: Case, tmp_path: Path) -> None:
    synthesize_into(tmp_path, moving.package, SynthesisOptions(format="npz", **moving.options), part_rows=PART)
    data = open_data(DataConfig(path=str(tmp_path)))
    assert data.train.spec.frames == 5
    assert as_set(
        [
            (image, data.train.class_names[label])
            for part in (data.train, data.held_out)
            for image, label in zip(part.images, part.labels, strict=True)
        ]
    ) == as_set(list(zip(moving.images, moving.names, strict=True)))


@pytest.mark.parametrize("file_format", ["folder", "webdataset", "parquet"])
def test_sequences_are_animations(moving: Case, tmp_path: Path, file_format: Format) -> None:
    options = SynthesisOptions(format=file_format, **{**moving.options, "per_class": 2})
    synthesize_into(tmp_path, moving.package, options)
    if file_format == "folder":
        files = [path.read_bytes() for path in sorted(tmp_path.rglob("*.webp"), key=lambda path: path.name)]
    elif file_format == "webdataset":
        shards = [str(path) for path in tmp_path.glob("*.tar")]
        files = [sample["webp"] for sample in wds.WebDataset(shards, shardshuffle=False)]
    else:
        (table,) = tmp_path.glob("*.parquet")
        files = [row["bytes"] for row in pq.read_table(table)["image"].to_pylist()]
    assert len(files) == 8
    for content, frames in zip(files, moving.images, strict=False):
        assert np.array_equal(pixels(content), frames.repeat(3, -1))


@pytest.mark.parametrize(("kind", "file_format"), held("grey", "moving"))
def test_any_number_of_workers_and_any_order_of_parts_leave_the_same_bytes(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, file_format: Format
) -> None:
    found: Case = request.getfixturevalue(kind)
    options = SynthesisOptions(format=file_format, **found.options)
    alone, backwards = tmp_path / "alone", tmp_path / "backwards"
    synthesize_into(alone, found.package, options, part_rows=PART)
    plan = make_plan(found.package, options).model_copy(update={"part_rows": PART})
    with open_workplace(backwards) as place:
        place.adopt(plan)
        manifest = found.package.manifest
        target = Target(place.folder, place.scratch, place.unfinished, plan, manifest.output, tuple(manifest.classes))
        write_backwards(target, Generator(found.package, "fp32"))
    written = {name: content for name, content in contents(alone).items() if name not in ("README.md", "dataset.json")}
    assert {name: content for name, content in contents(backwards).items() if ".synthesis" not in name} == written


def write_backwards(target: Target, generator: Generator) -> None:
    """Every part by a writer of its own, the last first, one of them twice."""
    drawer, writer = Drawer(generator, target.plan), WRITERS[target.plan.format]
    parts = [*target.plan.parts()][::-1]
    assert len(parts) > 2
    for part in [*parts, parts[0]]:
        writer(target).write(part, drawer.draw(part, Tally()))
    finisher: Writer = writer(target)
    assert finisher.finish() == finisher.finish()


@pytest.mark.parametrize("file_format", FORMATS)
def test_listed_files_are_those_on_the_disk(grey: Case, tmp_path: Path, file_format: Format) -> None:
    synthesize_into(tmp_path, grey.package, SynthesisOptions(format=file_format, **grey.options), part_rows=PART)
    listed = json.loads((tmp_path / "dataset.json").read_text())["files"]
    for file in listed:
        assert describe_file(tmp_path / file["name"]).model_dump() == {"sha256": file["sha256"], "size": file["size"]}
    others = set(contents(tmp_path)) - {file["name"] for file in listed} - {"README.md", "dataset.json"}
    assert all(name.endswith(".png") for name in others)
    assert bool(others) == (file_format == "folder")


@pytest.mark.parametrize(
    ("file_format", "output", "classes", "reason"),
    [
        ("idx", Output(height=8, width=8, channels=3), ("a",), "grey images; npz, folder, webdataset and parquet"),
        ("idx", Output(height=8, width=8, channels=1, frames=2), ("a",), "single images; npz holds exact sequences"),
        ("idx", Output(height=8, width=8, channels=1), (), "the package has no classes"),
        ("idx", Output(height=8, width=8, channels=1), tuple(map(str, range(257))), "labels are bytes"),
        ("webdataset", Output(height=8, width=8, channels=1), ("a\nb",), "a line per class"),
        ("folder", Output(height=8, width=8, channels=1), ("a/b",), "cannot be a folder's name"),
        ("folder", Output(height=8, width=8, channels=1), ("..",), "cannot be a folder's name"),
        ("folder", Output(height=8, width=8, channels=1), ("ant", "Ant"), "differ in case alone"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(
    file_format: Format, output: Output, classes: tuple[str, ...], reason: str
) -> None:
    refusal = WRITERS[file_format].refusal(output, classes)
    assert refusal is not None and reason in refusal


@pytest.mark.parametrize("image_format", ["png", "jpeg", "webp"])
def test_image_formats(grey: Case, tmp_path: Path, image_format: FileFormat) -> None:
    options = SynthesisOptions(format="webdataset", image_format=image_format, **{**grey.options, "per_class": 2})
    synthesize_into(tmp_path, grey.package, options)
    suffix = "jpg" if image_format == "jpeg" else image_format
    (shard,) = tmp_path.glob("*.tar")
    for index, sample in enumerate(wds.WebDataset(str(shard), shardshuffle=False)):
        found = pixels(sample[suffix])
        assert np.abs(found.astype(int) - grey.images[index]).mean() < (9 if image_format == "jpeg" else 1e-9)


def test_a_class_name_that_is_no_folder_goes_elsewhere(tmp_path: Path) -> None:
    found = case(tmp_path / "store", NAMES)
    synthesize_into(tmp_path / "out", found.package, SynthesisOptions(format="parquet", **found.options))
    assert {name for _, name in read_parquet(tmp_path / "out")} == set(NAMES)


def test_archives_carry_no_time_and_no_owner(grey: Case, tmp_path: Path) -> None:
    for file_format in ("npz", "webdataset"):
        synthesize_into(tmp_path / file_format, grey.package, SynthesisOptions(format=file_format, **grey.options))
    with tarfile.open(tmp_path / "webdataset" / "train-000000.tar") as archive:
        assert {(info.mtime, info.uid, info.uname, info.mode) for info in archive} == {(0, 0, "", 0o644)}
    with zipfile.ZipFile(tmp_path / "npz" / "train.npz") as packed:
        assert {info.date_time for info in packed.infolist()} == {(1980, 1, 1, 0, 0, 0)}
