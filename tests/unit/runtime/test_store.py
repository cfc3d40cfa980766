"""A store of packages: publishing is all or nothing, and a version number is given once."""

import multiprocessing
import os
import shutil
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from runtime.errors import PackageCorrupt, PackageError, PackageNotFound
from runtime.generator import Generator
from runtime.manifest import MANIFEST_FILE, Manifest
from runtime.package import Package
from runtime.store import DirectoryStore, ModelStore
from tests.kit.tiny_package import publish_tiny, write_tiny

ESCAPES = ["../outside", "..", ".", "", "a/b", "/proc/latentd", ".hidden", "Upper", "tiny\n", "a\0b", "x" * 65]


def staging(store: DirectoryStore) -> list[Path]:
    folder = store.root / ".staging"
    return list(folder.iterdir()) if folder.exists() else []


def test_a_directory_store_is_a_model_store(store: DirectoryStore) -> None:
    protocol: ModelStore = store
    assert protocol.versions() == {}


def test_a_published_package_opens_and_runs(store: DirectoryStore) -> None:
    published = publish_tiny(store)
    opened = store.open("tiny", 1)
    assert opened == published
    assert opened.path == store.root / "tiny" / "1"
    assert Generator(opened, "fp32").sample(np.arange(4, dtype=np.uint64)).shape == (4, 8, 8, 1)


def test_versions_count_up_per_name(store: DirectoryStore) -> None:
    assert [publish_tiny(store).manifest.version for _ in range(3)] == [1, 2, 3]
    assert publish_tiny(store, "other").manifest.version == 1
    assert store.versions() == {"other": [1], "tiny": [1, 2, 3]}


def test_versions_are_sorted_as_numbers(store: DirectoryStore) -> None:
    publish_tiny(store)
    for number in (10, 9, 100):
        (store.root / "tiny" / str(number)).mkdir()
    assert store.versions() == {"tiny": [1, 9, 10, 100]}


def test_what_is_no_package_is_not_listed(tiny_store: DirectoryStore) -> None:
    root = tiny_store.root
    (root / "README").write_text("a file")
    (root / "Upper" / "1").mkdir(parents=True)
    (root / "empty").mkdir()
    for name in ("0", "01", "-1", "1.5", "latest", "²"):
        (root / "tiny" / name).mkdir()
    (root / "tiny" / "7").write_text("a file with a number for a name")
    assert tiny_store.versions() == {"tiny": [1]}


@pytest.mark.parametrize(("name", "version"), [("tiny", 2), ("tiny", 0), ("tiny", -1), ("other", 1)])
def test_an_absent_package_is_not_found(tiny_store: DirectoryStore, name: str, version: int) -> None:
    with pytest.raises(PackageNotFound, match=f"{name}@{version}: not in the store"):
        tiny_store.open(name, version)


@pytest.mark.parametrize("name", ESCAPES)
def test_a_name_that_could_leave_the_root_is_not_found(tiny_store: DirectoryStore, name: str) -> None:
    shutil.copytree(tiny_store.root / "tiny", tiny_store.root.parent / "outside")
    with pytest.raises(PackageNotFound):
        tiny_store.open(name, 1)


@pytest.mark.parametrize("name", ESCAPES)
def test_a_name_that_could_leave_the_root_is_not_published(store: DirectoryStore, name: str, tmp_path: Path) -> None:
    with store.stage() as staged:
        describe = write_tiny(staged)
        with pytest.raises(PackageError, match="name must match"):
            store.publish(name, staged, describe)
    assert {path.name for path in tmp_path.rglob("*")} <= {"models", ".staging"}


def test_a_manifest_of_another_name_or_version_is_not_published(store: DirectoryStore) -> None:
    with store.stage() as staged:
        describe = write_tiny(staged, "tiny")
        with pytest.raises(PackageError, match="describes tiny@1, not other@1"):
            store.publish("other", staged, describe)
        with pytest.raises(PackageError, match="describes tiny@6, not tiny@1"):
            store.publish("tiny", staged, lambda version: describe(version + 5))
    assert store.versions() == {}


@pytest.mark.parametrize(("name", "version"), [("moved", 1), ("tiny", 2)])
def test_a_folder_moved_to_another_name_or_version_is_refused(
    tiny_store: DirectoryStore, name: str, version: int
) -> None:
    target = tiny_store.root / name / str(version)
    target.parent.mkdir(exist_ok=True)
    (tiny_store.root / "tiny" / "1").rename(target)
    with pytest.raises(PackageCorrupt, match=r"manifest\.json says it is tiny@1: the folder was moved"):
        tiny_store.open(name, version)


def test_a_store_can_be_copied_elsewhere(tiny_store: DirectoryStore, tmp_path: Path) -> None:
    copy = DirectoryStore(Path(shutil.copytree(tiny_store.root, tmp_path / "copy")))
    assert copy.open("tiny", 1).manifest == tiny_store.open("tiny", 1).manifest


def test_one_bad_version_leaves_the_others_open(tiny_store: DirectoryStore) -> None:
    publish_tiny(tiny_store)
    (tiny_store.root / "tiny" / "2" / "generator.onnx").unlink()
    assert tiny_store.open("tiny", 1)
    with pytest.raises(PackageCorrupt, match=r"tiny@2: generator\.onnx cannot be read"):
        tiny_store.open("tiny", 2)


@pytest.mark.parametrize("last_left", [True, False])
def test_the_number_of_a_deleted_version_is_not_given_again(store: DirectoryStore, last_left: bool) -> None:
    for _ in range(3):
        publish_tiny(store)
    for number in [1, 3] if last_left else [1, 2, 3]:
        shutil.rmtree(store.root / "tiny" / str(number))
    assert publish_tiny(store).manifest.version == 4


def test_nothing_staged_is_left_after_publishing(tiny_store: DirectoryStore) -> None:
    assert staging(tiny_store) == []


def test_nothing_staged_is_left_after_a_failure(store: DirectoryStore) -> None:
    with pytest.raises(RuntimeError, match="training failed"), store.stage() as staged:
        (staged / "generator.onnx").write_bytes(b"half a gra")
        raise RuntimeError("training failed")
    assert staging(store) == []
    assert store.versions() == {}


def test_a_description_that_fails_publishes_nothing(store: DirectoryStore) -> None:
    def describe(version: int) -> Manifest:
        raise ValueError("no evaluation")

    with pytest.raises(ValueError, match="no evaluation"), store.stage() as staged:
        store.publish("tiny", staged, describe)
    assert store.versions() == {}


def test_a_crash_before_the_rename_leaves_nothing_to_read(store: DirectoryStore) -> None:
    code = in_child(crash_before_rename, store.root)
    assert code == 9
    assert store.versions() == {}
    assert len(staging(store)) == 1, "the child was to die with its folder staged"
    assert store.open("tiny", publish_tiny(store).manifest.version)


def test_a_crash_after_the_rename_leaves_a_whole_package_and_its_number_is_taken(store: DirectoryStore) -> None:
    assert in_child(crash_after_rename, store.root) == 9
    assert store.versions() == {"tiny": [1]}
    store.open("tiny", 1)
    shutil.rmtree(store.root / "tiny" / "1")
    assert publish_tiny(store).manifest.version == 2


def test_a_reader_never_sees_half_a_package(store: DirectoryStore) -> None:
    def publish() -> None:
        for variant in range(15):
            publish_tiny(store, variant=variant, precisions=["fp32"])

    opened = 0
    with ThreadPoolExecutor(1) as pool:
        publishing = pool.submit(publish)
        while not publishing.done():
            for name, numbers in store.versions().items():
                assert store.open(name, numbers[-1]).manifest.version == numbers[-1]
                opened += 1
        publishing.result()
    assert opened > 0


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_publishers_at_once_each_get_a_number_and_lose_nothing(store: DirectoryStore, kind: str) -> None:
    if kind == "threads":
        with ThreadPoolExecutor(4) as pool:
            for future in [pool.submit(publish_five, store.root, variant) for variant in range(4)]:
                future.result()
    else:
        children = [spawn(publish_five, store.root, variant) for variant in range(3)]
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0, 0, 0]
    expected = 20 if kind == "threads" else 15
    numbers = store.versions()["tiny"]
    assert numbers == list(range(1, expected + 1))
    packages = [store.open("tiny", number) for number in numbers]
    for variant in range(expected // 5):
        assert sum(variant_of(package) == variant for package in packages) == 5
    assert staging(store) == []
    shutil.rmtree(store.root / "tiny" / str(expected))
    assert publish_tiny(store).manifest.version == expected + 1


def test_a_second_publisher_waits_until_the_first_is_done(store: DirectoryStore) -> None:
    """Else a slow one could put the mark of the last number back after a fast one has moved it on."""
    second_described = threading.Event()

    def publish_second() -> Package:
        with store.stage() as staged:
            describe = write_tiny(staged)

            def describe_second(version: int) -> Manifest:
                second_described.set()
                return describe(version)

            return store.publish("tiny", staged, describe_second)

    with ThreadPoolExecutor(1) as pool, store.stage() as staged:
        describe = write_tiny(staged)
        second: list[Future[Package]] = []

        def describe_first(version: int) -> Manifest:
            second.append(pool.submit(publish_second))
            assert not second_described.wait(0.5)
            return describe(version)

        assert store.publish("tiny", staged, describe_first).manifest.version == 1
        assert second[0].result().manifest.version == 2


def test_a_number_taken_by_a_publisher_without_the_lock_is_passed_over(
    tiny_store: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a file system without locks the rename itself decides."""
    hidden = dict(tiny_store.versions())
    publish_tiny(tiny_store)
    (tiny_store.root / "tiny" / ".last-version").write_text("1")
    with monkeypatch.context() as patched:
        patched.setattr(DirectoryStore, "versions", lambda self: hidden)
        assert publish_tiny(tiny_store).manifest.version == 3
    assert tiny_store.open("tiny", 2).manifest.version == 2


def test_the_manifest_of_a_published_package_is_the_one_described(tiny_store: DirectoryStore) -> None:
    package = tiny_store.open("tiny", 1)
    assert (package.path / MANIFEST_FILE).read_text() == package.manifest.to_json()


# ---- what runs in other threads and processes


def variant_of(package: Package) -> object:
    return package.manifest.provenance.config["variant"]


def publish_five(root: Path, variant: int) -> None:
    for _ in range(5):
        publish_tiny(DirectoryStore(root), variant=variant, precisions=["fp32"])


def crash_before_rename(root: Path) -> None:
    store = DirectoryStore(root)
    with store.stage() as staged:
        describe = write_tiny(staged)

        def die(version: int) -> Manifest:
            describe(version)
            os._exit(9)

        store.publish("tiny", staged, die)


def crash_after_rename(root: Path) -> None:
    rename = Path.rename

    def rename_and_die(self: Path, target: Path) -> Path:
        rename(self, target)
        os._exit(9)

    Path.rename = rename_and_die  # type: ignore[method-assign,assignment]
    publish_tiny(DirectoryStore(root))


def spawn(function: object, *arguments: object) -> "multiprocessing.process.BaseProcess":
    child = multiprocessing.get_context("spawn").Process(target=function, args=arguments)  # type: ignore[arg-type]
    child.start()
    return child


def in_child(function: object, *arguments: object) -> int | None:
    child = spawn(function, *arguments)
    child.join()
    return child.exitcode


# --- deleting ------------------------------------------------------------------------------------------------


def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(store: DirectoryStore) -> None:
    for _ in range(3):
        publish_tiny(store)
    (store.root / "tiny" / ".last-version").unlink()  # as in a store that was filled by hand
    store.delete("tiny", 3)
    assert store.versions() == {"tiny": [1, 2]}
    assert staging(store) == []
    assert publish_tiny(store).manifest.version == 4
    for version in (1, 2, 4):
        store.delete("tiny", version)
    assert store.versions() == {}


@pytest.mark.parametrize("name", [*ESCAPES, "absent", "tiny"])
def test_what_is_not_in_the_store_is_not_deleted(name: str, tiny_store: DirectoryStore) -> None:
    (tiny_store.root.parent / "outside" / "1").mkdir(parents=True)
    for version in (0, -1, 2):
        with pytest.raises(PackageNotFound):
            tiny_store.delete(name, version)
    if name != "tiny":
        with pytest.raises(PackageNotFound):
            tiny_store.delete(name, 1)
    assert tiny_store.versions() == {"tiny": [1]}
    assert (tiny_store.root.parent / "outside" / "1").is_dir()
