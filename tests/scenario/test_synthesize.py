"""`latentd synthesize`, killed half-way: the same command goes on to the bytes of an unbroken run, in little memory."""

import io
import json
import os
import signal
import subprocess
import tarfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset as wds
from PIL import Image

from runtime.generator import Generator
from runtime.store import DirectoryStore
from tests.kit.data_sets import contents
from tests.kit.processes import is_running, wait_for
from tests.kit.server import LATENTD, start_latentd
from tests.kit.tiny_package import publish_tiny

MIB = 2**20


def begin(store: Path, out: Path, *options: str) -> "subprocess.Popen[bytes]":
    """The command, in a process of its own."""
    arguments = ("synthesize", "digits-cgan", "--store", str(store), "--out", str(out), *options)
    return start_latentd(*arguments, log=out.parent / f"{out.name}.log")


def finish(store: Path, out: Path, *options: str) -> int:
    """Run the command to its end; its peak memory in bytes, of all its processes together."""
    process = begin(store, out, *options)
    peak = peak_memory(process)
    assert process.returncode == 0, (out.parent / f"{out.name}.log").read_text()
    return peak


def kill_once(store: Path, out: Path, *options: str, parts: int) -> None:
    """Begin, and end the command by SIGKILL once so many parts are journaled; its workers end with it."""
    process, journal = begin(store, out, *options), out / ".synthesis" / "journal.jsonl"
    deadline = time.monotonic() + 1800
    while not journal.exists() or journal.read_bytes().count(b'"part"') < parts:
        assert process.poll() is None and time.monotonic() < deadline, (out.parent / f"{out.name}.log").read_text()
        time.sleep(0.005)
    family = [process.pid, *children(process.pid)]
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(is_running(pid) for pid in family), what="the end of the workers")
    assert not (out / "dataset.json").exists(), "it was killed too late to show anything"


def children(pid: int) -> list[int]:
    """Processes that `pid` started."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def peak_memory(process: "subprocess.Popen[bytes]") -> int:
    """Wait for `process`; the sum of the highest resident sets of it and each of its children, from /proc."""
    peaks: dict[int, int] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for pid in (process.pid, *children(process.pid)):
                try:
                    status = Path(f"/proc/{pid}/status").read_text()
                except OSError:
                    continue
                lines = [line for line in status.splitlines() if line.startswith("VmHWM")]
                if lines:
                    peaks[pid] = int(lines[0].split()[1]) * 1024

    watcher = threading.Thread(target=watch)
    watcher.start()
    process.wait()
    done.set()
    watcher.join()
    return sum(peaks.values())


@pytest.mark.parametrize("file_format", ["folder", "webdataset", "parquet", "npz", "idx"])
def test_killed_and_resumed_is_as_never_killed(tmp_path: Path, file_format: str) -> None:
    """Few rows of a generator that takes its time; the formats without shards are one part each here, and the
    kill comes before it is done."""
    store = DirectoryStore(tmp_path / "models")
    publish_tiny(store, "digits-cgan", delay=6, precisions=("fp32",))
    sharded = file_format in ("webdataset", "parquet")
    amount = ("--per-class", "60", "--format", file_format, *(("--shard-size", "100") if sharded else ()))
    if sharded:
        kill_once(store.root, tmp_path / "killed", *amount, "--workers", "2", parts=2)
    else:
        process = begin(store.root, tmp_path / "killed", *amount, "--workers", "1")
        while not (tmp_path / "killed" / ".synthesis" / "plan.json").exists():
            time.sleep(0.005)
            assert process.poll() is None
        process.kill()
        process.wait()
    finish(store.root, tmp_path / "killed", *amount, "--workers", "1")
    finish(store.root, tmp_path / "unbroken", *amount, "--workers", "1")
    assert contents(tmp_path / "killed") == contents(tmp_path / "unbroken")


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "models")
    publish_tiny(store, "digits-cgan", delay=20, precisions=("fp32",))
    options = ("--per-class", "2000", "--format", "webdataset", "--shard-size", "50", "--workers", "2")
    process, journal = begin(store.root, tmp_path / "out", *options), tmp_path / "out" / ".synthesis" / "journal.jsonl"
    while not journal.exists():
        assert process.poll() is None
        time.sleep(0.01)
    workers = children(process.pid)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert f"stopped; the same command goes on in {tmp_path / 'out'}" in (tmp_path / "out.log").read_text()
    # Python's resource tracker, a child too, sees the command's end and then ends.
    wait_for(lambda: not any(is_running(pid) for pid in workers), within_s=5, what="the end of the workers")


ROWS, PER_CLASS, SHARD = 100_000, 10_000, 10_000


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a `digits-cgan` of the real size: what it draws does not matter here, how much does."""
    root = tmp_path_factory.mktemp("digits")
    short = ("--set", "budget.images=20000", "--set", "evaluation.samples=200", "--set", "device.threads=1")
    where = ("--run", str(root / "run"), "--store", str(root / "models"))
    subprocess.run([LATENTD, "train", "digits-cgan", *where, *short], check=True, timeout=1200)
    return root / "models"


def read_shards(folder: Path) -> Iterator[tuple[int, bytes, int]]:
    """Seed, image file and label, by the library `webdataset`."""
    shards = sorted(str(path) for path in folder.glob("*.tar"))
    for sample in wds.WebDataset(shards, shardshuffle=False):
        yield int(sample["__key__"]), sample["png"], int(sample["cls"])


def read_tables(folder: Path) -> Iterator[tuple[int, bytes, int]]:
    """The same, by pyarrow."""
    for path in sorted(folder.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                yield row["seed"], row["image"]["bytes"], row["label"]


@pytest.mark.slow
@pytest.mark.parametrize("file_format", ["webdataset", "parquet"])
def test_100_000_images_in_600_mb_killed_half_way(package: Path, tmp_path: Path, file_format: str) -> None:
    options = ("--per-class", str(PER_CLASS), "--format", file_format, "--shard-size", str(SHARD), "--workers", "2")
    killed, unbroken = tmp_path / "killed", tmp_path / "unbroken"
    kill_once(package, killed, *options, parts=5)
    peaks = [finish(package, killed, *options)]
    start, before = time.monotonic(), os.times()
    peaks.append(finish(package, unbroken, *options))
    seconds, after = time.monotonic() - start, os.times()
    processor = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{file_format}: {ROWS / seconds:,.0f} images/s, {ROWS / processor:,.0f} per processor second, ", end="")
    print(f"peak {max(peaks) / MIB:.0f} MiB in all processes")
    assert max(peaks) < 600_000_000
    assert contents(killed) == contents(unbroken)

    read = read_shards(unbroken) if file_format == "webdataset" else read_tables(unbroken)
    counts: Counter[int] = Counter()
    seeds: list[int] = []
    checked: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]] = {}
    for seed, content, label in read:
        counts[label] += 1
        seeds.append(seed)
        if seed % 997 == 0:
            checked[seed] = np.asarray(Image.open(io.BytesIO(content)))
    assert seeds == list(range(ROWS))
    assert counts == Counter(dict.fromkeys(range(10), PER_CLASS))
    generator = Generator(DirectoryStore(package).open("digits-cgan", 1), "fp32")
    chosen = np.array(sorted(checked), np.uint64)
    expected = generator.sample(chosen, (chosen % 10).astype(np.int64))
    assert np.array_equal(np.stack([checked[int(seed)] for seed in chosen]), expected[..., 0])
    listed = json.loads((unbroken / "dataset.json").read_text())["files"]
    assert sum(file["rows"] for file in listed) == ROWS


@pytest.mark.slow
def test_memory_does_not_grow_with_the_set(tmp_path: Path) -> None:
    """24 MB and 246 MB of pixels."""
    store = DirectoryStore(tmp_path / "models")
    publish_tiny(store, "digits-cgan", size=64, channels=3, precisions=("fp32",))
    peaks = []
    for per_class in (200, 2_000):
        options = ("--format", "npz", "--per-class", str(per_class), "--workers", "1")
        peaks.append(finish(store.root, tmp_path / str(per_class), *options))
    assert peaks[1] < peaks[0] + 60 * MIB


def test_archives_are_what_tar_reads(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "models")
    publish_tiny(store, "digits-cgan", precisions=("fp32",))
    finish(store.root, tmp_path / "out", "--per-class", "3", "--format", "webdataset")
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as archive:
        assert len(archive.getnames()) == 60
    listing = subprocess.run(
        ["tar", "-tf", tmp_path / "out" / "train-000000.tar"], capture_output=True, text=True, check=True
    )
    assert len(listing.stdout.splitlines()) == 60
