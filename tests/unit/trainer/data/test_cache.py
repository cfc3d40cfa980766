"""Sets that do not fit in memory: decoded once, mapped, the same pixels as in memory."""

import json
import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.trainer.data.test_sources import (
    COLOUR,
    GREY,
    LABELS,
    Pack,
    folder,
    npz,
    parquet,
    png,
    shards,
    tar_gz,
    zip_file,
)
from trainer.data import DataConfig, DataSplit, cache, open_data
from trainer.errors import DataError

CHECKOUT = Path(__file__).resolve().parents[4]
SMALL = 3e-7
"""GiB that hold a few of the tests' images."""


def npy(place: Path, images: NDArray[np.uint8], _labels: NDArray[np.int64] | None) -> Path:
    """An array without labels, channels first."""
    np.save(place / "set.npy", images.transpose(0, 3, 1, 2))
    return place / "set.npy"


def assert_same(left: DataSplit, right: DataSplit) -> None:
    for ours, theirs in ((left.train, right.train), (left.held_out, right.held_out)):
        assert np.array_equal(ours.images, theirs.images)
        assert np.array_equal(ours.labels, theirs.labels)
        assert ours.class_names == theirs.class_names
    assert left.source == right.source
    assert left.fingerprint() == right.fingerprint()


@pytest.mark.parametrize("size", [None, 6])
@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("pack", [folder, zip_file, tar_gz, parquet, shards, npy])
def test_mapped_sets_are_those_in_memory(
    tmp_path: Path, pack: Pack, images: NDArray[np.uint8], size: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(pack(tmp_path, images, LABELS))
    mapped = open_data(DataConfig(path=path, size=size, memory_gib=SMALL), tmp_path / "cache")
    assert isinstance(mapped.train.images, np.memmap)
    assert_same(mapped, open_data(DataConfig(path=path, size=size), tmp_path / "cache2"))
    assert not (tmp_path / "cache2").exists()
    assert len([entry for entry in (tmp_path / "cache").iterdir() if entry.name != ".lock"]) == 1
    monkeypatch.setattr("trainer.data.read_source", None)  # nothing is decoded again
    assert_same(open_data(DataConfig(path=path, size=size, memory_gib=SMALL), tmp_path / "cache"), mapped)


def test_grey_images_before_coloured_ones_become_coloured(tmp_path: Path) -> None:
    for row in range(18):
        (tmp_path / f"set{row // 9}").mkdir(exist_ok=True)
        pixels = GREY[row] if row < 14 else COLOUR[row]
        (tmp_path / f"set{row // 9}" / f"{row:02}.png").write_bytes(png(pixels))
    (tmp_path / "all").mkdir()
    for name in ("set0", "set1"):
        (tmp_path / name).rename(tmp_path / "all" / name)
    config = DataConfig(path=str(tmp_path / "all"))
    mapped = open_data(config.model_copy(update={"memory_gib": SMALL}), tmp_path / "cache")
    assert mapped.train.spec.channels == 3
    assert_same(mapped, open_data(config))


def test_a_set_with_a_test_part_keeps_it(tmp_path: Path) -> None:
    path = parquet(tmp_path, GREY, LABELS)
    next(path.glob("train-00001*")).rename(path / "test-00000-of-00001.parquet")
    mapped = open_data(DataConfig(path=str(path), memory_gib=SMALL), tmp_path / "cache")
    assert_same(mapped, open_data(DataConfig(path=str(path))))


def test_other_files_and_other_settings_are_other_sets(tmp_path: Path) -> None:
    path = folder(tmp_path, GREY, LABELS)

    def decoded(**settings: int) -> set[str]:
        open_data(DataConfig(path=str(path), memory_gib=SMALL, **settings), tmp_path / "cache")  # type: ignore[arg-type]
        return {entry.name for entry in (tmp_path / "cache").iterdir()} - {".lock"}

    assert len(decoded()) == len(decoded()) == 1
    assert len(decoded(split_seed=1)) == 2
    file = next(path.rglob("*.png"))
    os.utime(file, (1, 1))
    assert len(decoded()) == 3


def test_compressed_arrays_must_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="take more than 3e-07 GiB of memory"):
        open_data(DataConfig(path=str(npz(tmp_path, GREY, LABELS)), memory_gib=SMALL), tmp_path / "cache")


def test_what_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    for row in range(200):
        (tmp_path / "set" / f"{row:03}.png").write_bytes(png(GREY[0]) if row < 199 else b"no picture")
    with pytest.raises(DataError, match=r"199.png: cannot be read as an image"):
        open_data(DataConfig(path=str(tmp_path / "set"), memory_gib=SMALL), tmp_path / "cache")
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [".lock"]


def test_damaged_sets_are_named(tmp_path: Path) -> None:
    config = DataConfig(path=str(folder(tmp_path, GREY, LABELS)), memory_gib=SMALL)
    open_data(config, tmp_path / "cache")
    next((tmp_path / "cache").glob("*/train.npy")).write_bytes(b"")
    with pytest.raises(DataError, match=r"damaged .*; remove it to decode .* again"):
        open_data(config, tmp_path / "cache")


def test_two_processes_decode_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first, and finds what it made."""
    config = DataConfig(path=str(folder(tmp_path, GREY, LABELS)), memory_gib=SMALL)
    written: list[str] = []
    found: list[DataSplit] = []
    write = cache._write_npy

    def slow_write(path: Path, *rest: object) -> None:
        if not written:
            other.start()
            other.join(0.3)
            assert other.is_alive()
        written.append(path.name)
        write(path, *rest)  # type: ignore[arg-type]

    other = threading.Thread(target=lambda: found.append(open_data(config, tmp_path / "cache")))
    monkeypatch.setattr(cache, "_write_npy", slow_write)
    first = open_data(config, tmp_path / "cache")
    other.join()
    assert sorted(written) == ["held_out.npy", "train.npy"]
    assert_same(found[0], first)


SIDE, PICTURES = 128, 4_000
LIMIT_MIB = 8
MEASURE = f"""
import json, sys, threading, zipfile
from pathlib import Path
import torch
from trainer.data import DataConfig, open_data
from trainer.data.batches import make_batches
from trainer.data.order import DataOrder

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 1024

peak, ended = 0.0, threading.Event()
def watch():
    global peak
    while not ended.wait(0.005):
        peak = max(peak, anonymous())

root = Path(sys.argv[1])
open_data(DataConfig(path=str(root / "few.zip")))  # what is imported late
before = anonymous()
watcher = threading.Thread(target=watch)
watcher.start()
data = open_data(DataConfig(path=str(root / "many.zip"), memory_gib={LIMIT_MIB} / 1024), root / "cache")
batches = make_batches(data.train, DataOrder(len(data.train), 0), 16, torch.device("cpu"), slice(16))
for _ in range(300):
    batches.next()
ended.set()
watcher.join()
pixels = data.train.images.nbytes + data.held_out.images.nbytes
print(json.dumps({{"pixels": pixels / 2**20, "taken": peak - before}}))
"""


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """Almost 200 MiB of pixels, decoded and visited more than once, in a fraction of that."""
    content = png(np.arange(SIDE * SIDE * 3, dtype=np.uint8).reshape(SIDE, SIDE, 3))
    for name, count in (("few", 8), ("many", PICTURES)):
        with zipfile.ZipFile(tmp_path / f"{name}.zip", "w") as archive:
            for row in range(count):
                archive.writestr(f"{row:05}.png", content)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "decoding to disk" in done.stderr
    measured = json.loads(done.stdout)
    assert measured["pixels"] == pytest.approx(PICTURES * SIDE * SIDE * 3 / 2**20)
    assert measured["taken"] < measured["pixels"] / 2
