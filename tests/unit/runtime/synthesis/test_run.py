"""Plans, resumption, filters and descriptions of data sets."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from runtime.errors import PackageCorrupt
from runtime.generator import Generator
from runtime.latents import MAX_SEED
from runtime.manifest import Output
from runtime.package import Package
from runtime.store import DirectoryStore
from runtime.synthesis.errors import SynthesisError
from runtime.synthesis.plan import Plan, chunk_rows, default_part_rows
from runtime.synthesis.run import SynthesisOptions, make_plan, synthesize
from runtime.synthesis.workplace import open_workplace
from tests.kit.data_sets import contents, plan_of, synthesize_into
from tests.kit.tiny_package import flip_byte, publish_tiny

NPZ = SynthesisOptions(format="npz", per_class=6)
SHARDS = SynthesisOptions(format="webdataset", per_class=6, shard_rows=10)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return publish_tiny(DirectoryStore(tmp_path_factory.mktemp("store")))


@dataclass(frozen=True)
class OddSeeds:
    """Keeps images whose pixels' sum is odd: about every second, and nothing but the image decides."""

    share: int = 2

    @property
    def name(self) -> str:
        return "odd"

    def describe(self) -> dict[str, Any]:
        return {"share": self.share}

    def __call__(self, images: NDArray[np.uint8], _labels: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        sums = images.reshape(len(images), -1).sum(1)
        kept: NDArray[np.bool_] = sums % self.share == 1
        return kept


def arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """What `train.npz` holds."""
    with np.load(folder / "train.npz") as data:
        return dict(data)


# ---- plans


def test_rows_take_classes_in_turn_and_seeds_in_order(package: Package, tmp_path: Path) -> None:
    synthesize_into(tmp_path, package, replace(NPZ, classes=["8", "3", "5"], seed=100))
    found = arrays(tmp_path)
    assert found["labels"].tolist() == [8, 3, 5] * 6
    assert found["seeds"].tolist() == list(range(100, 118))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"per_class": None}, "--per-class is missing: how many of each of the 10 classes"),
        ({"per_class": None, "count": 5}, "--count: tiny@1 has classes; --per-class says"),
        ({"classes": ["3", "x"]}, "--classes: got 'x'; allowed: 0, 1, .*, 9, or indices 0 to 9"),
        ({"classes": ["10"]}, "--classes: got '10'"),
        ({"classes": ["3", "3"]}, "one class is named twice"),
        ({"precision": "fp16"}, "--precision: got fp16; tiny@1 has fp32, int8"),
        ({"image_format": "png"}, "--image-format: got png, but npz holds pixels"),
        ({"shard_rows": 5}, "--shard-size: got 5, but npz has no shards; webdataset, parquet do"),
        ({"seed": MAX_SEED - 58}, f"--seed: got {MAX_SEED - 58}; allowed: at most {MAX_SEED - 59} for 60 rows"),
        ({"format": "folder", "image_format": "gif"}, "got gif, which is for sequences; allowed: png, jpeg, webp"),
    ],
)
def test_options_that_do_not_fit(package: Package, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SynthesisError, match=message):
        make_plan(package, replace(NPZ, **change))


def test_the_last_seed_may_be_the_largest(package: Package, tmp_path: Path) -> None:
    synthesize_into(tmp_path, package, replace(NPZ, seed=MAX_SEED - 59))
    assert arrays(tmp_path)["seeds"][-1] == MAX_SEED


def test_packages_without_classes_take_a_count(store: DirectoryStore, tmp_path: Path) -> None:
    unconditional = publish_tiny(store, classes=(), precisions=("fp32",))
    with pytest.raises(SynthesisError, match=r"--per-class: tiny@1 has no classes; --count says how many"):
        make_plan(unconditional, NPZ)
    with pytest.raises(SynthesisError, match="--count is missing"):
        make_plan(unconditional, replace(NPZ, per_class=None))
    synthesize_into(tmp_path / "out", unconditional, replace(NPZ, per_class=None, count=7))
    assert "labels" not in arrays(tmp_path / "out")


def test_sequences_are_not_written_as_single_images(store: DirectoryStore) -> None:
    moving = publish_tiny(store, frames=4, precisions=("fp32",))
    with pytest.raises(SynthesisError, match="got png, which holds one image, and rows are sequences of 4 frames"):
        make_plan(moving, SynthesisOptions(format="folder", per_class=1, image_format="png"))
    with pytest.raises(SynthesisError, match="--format idx cannot hold tiny@1: its files hold single images"):
        make_plan(moving, SynthesisOptions(format="idx", per_class=1))


def test_truncation_and_precision_are_those_asked_for(package: Package, tmp_path: Path) -> None:
    synthesize_into(tmp_path, package, replace(NPZ, truncation=0.5, precision="int8"))
    found = arrays(tmp_path)
    expected = Generator(package, "int8").sample(found["seeds"], found["labels"], 0.5)
    assert np.array_equal(found["images"], expected)


@pytest.mark.parametrize(
    ("output", "chunk", "part"),
    [
        (Output(height=8, width=8, channels=1), 256, 10_000),
        (Output(height=64, width=64, channels=3), 85, 10_000),
        (Output(height=256, width=256, channels=3), 5, 1_365),
        (Output(height=1024, width=1024, channels=3, frames=16), 1, 100),
    ],
)
def test_large_images_are_taken_in_smaller_portions(output: Output, chunk: int, part: int) -> None:
    assert (chunk_rows(output), default_part_rows(output)) == (chunk, part)


# ---- resumption


class Stopped(Exception):
    """Stands for a kill."""


def stop_after(rows: int) -> Callable[[int], Callable[[int], object]]:
    """A progress callback that ends the run once so many rows are done."""

    def begin(_resumed: int) -> Callable[[int], object]:
        done = 0

        def progress(count: int) -> None:
            nonlocal done
            done += count
            if done >= rows:
                raise Stopped

        return progress

    return begin


def run_until(folder: Path, package: Package, plan: Plan, rows: int) -> None:
    """Begin a set and stop it inside a part."""
    with pytest.raises(Stopped), open_workplace(folder) as place:
        synthesize(package, plan, place, filters=[OddSeeds()], workers=1, begin=stop_after(rows))


@pytest.mark.parametrize("options", [NPZ, SHARDS, replace(NPZ, format="folder")], ids=lambda options: options.format)
def test_a_stopped_run_goes_on_to_the_same_bytes(package: Package, tmp_path: Path, options: SynthesisOptions) -> None:
    plan = plan_of(package, options, part_rows=10, filters=[OddSeeds()])
    run_until(tmp_path / "stopped", package, plan, 35)
    with (tmp_path / "stopped" / ".synthesis" / "journal.jsonl").open("ab") as journal:
        journal.write(b'\n{"part": 5, "fil')  # a power cut
    (tmp_path / "stopped" / ".synthesis" / "unfinished" / "half").write_bytes(b"half")
    outcomes = [
        synthesize_into(tmp_path / name, package, options, part_rows=10, filters=[OddSeeds()])
        for name in ("stopped", "unbroken")
    ]
    assert contents(tmp_path / "stopped") == contents(tmp_path / "unbroken")
    assert [outcome.resumed for outcome in outcomes] == [30, 0]
    assert outcomes[0].dropped == outcomes[1].dropped
    assert outcomes[0].dropped["odd"] > 20


def test_a_shard_that_was_removed_meanwhile_is_made_again(package: Package, tmp_path: Path) -> None:
    plan = plan_of(package, SHARDS, filters=[OddSeeds()])
    run_until(tmp_path / "stopped", package, plan, 35)
    (tmp_path / "stopped" / "train-000001.tar").unlink()
    (tmp_path / "stopped" / "train-000002.tar").write_bytes(b"cut short")
    for name in ("stopped", "unbroken"):
        synthesize_into(tmp_path / name, package, SHARDS, filters=[OddSeeds()])
    assert contents(tmp_path / "stopped") == contents(tmp_path / "unbroken")


def test_a_finished_set_is_left_as_it_is(package: Package, tmp_path: Path) -> None:
    synthesize_into(tmp_path, package, SHARDS)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert synthesize_into(tmp_path, package, SHARDS).resumed == 60
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"per_class": 7}, "rows was 60 and is 70"),
        ({"shard_rows": 20}, "part_rows was 10 and is 20"),
        ({"truncation": 0.5}, "truncation was 1.0 and is 0.5"),
        ({"precision": "int8"}, "precision was fp32 and is int8"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_options_are_refused(
    package: Package, tmp_path: Path, finished: bool, change: dict[str, Any], message: str
) -> None:
    with open_workplace(tmp_path) as place:
        if finished:
            synthesize(package, make_plan(package, SHARDS), place, workers=1)
        else:
            place.adopt(make_plan(package, SHARDS))
    before = contents(tmp_path)
    with pytest.raises(SynthesisError, match=f"{'holds' if finished else 'was begun as'} another data set: {message}"):
        synthesize_into(tmp_path, package, replace(SHARDS, **change))
    assert contents(tmp_path) == before


def test_another_version_of_the_package_is_refused(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    first, second = (publish_tiny(store, variant=variant, precisions=("fp32",)) for variant in (0, 1))
    synthesize_into(tmp_path / "out", first, SHARDS)
    with pytest.raises(SynthesisError, match="package was tiny@1 and is tiny@2"):
        synthesize_into(tmp_path / "out", second, SHARDS)


def test_folders_with_other_files_are_refused_and_left_alone(package: Package, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SynthesisError, match=r"holds other files \(thesis.txt, …\); an absent or empty folder"):
        synthesize_into(tmp_path, package, NPZ)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_one_run_at_a_time(package: Package, tmp_path: Path) -> None:
    with open_workplace(tmp_path), pytest.raises(SynthesisError, match="another run is at work in it"):
        synthesize_into(tmp_path, package, NPZ)


def test_nothing_begun_leaves_nothing(tmp_path: Path) -> None:
    with open_workplace(tmp_path / "out"):
        assert (tmp_path / "out").exists()
    assert not (tmp_path / "out").exists()


def test_a_package_that_does_not_verify_is_refused(store: DirectoryStore, tmp_path: Path) -> None:
    damaged = publish_tiny(store, precisions=("fp32",))
    flip_byte(damaged.path / "generator.onnx")
    for workers, error in ((1, PackageCorrupt), (2, SynthesisError)):
        with pytest.raises(error, match=r"generator.onnx has SHA-256"):
            synthesize_into(tmp_path / str(workers), damaged, SHARDS, workers=workers)


# ---- filters


def test_dropped_rows_are_replaced_by_further_seeds(package: Package, tmp_path: Path) -> None:
    outcome = synthesize_into(tmp_path, package, NPZ, filters=[OddSeeds()])
    found = arrays(tmp_path)
    assert OddSeeds()(found["images"], None).all()
    assert found["labels"].tolist() == list(range(10)) * 6
    attempts, rows = found["seeds"] // 60, found["seeds"] % 60
    assert rows.tolist() == list(range(60))
    generator = Generator(package, "fp32")
    for attempt in range(int(attempts.max())):  # every earlier candidate was one that the filter drops
        open_rows = np.flatnonzero(attempts > attempt)
        images = generator.sample((open_rows + 60 * attempt).astype(np.uint64), found["labels"][open_rows])
        assert not OddSeeds()(images, None).any()
    assert outcome.dropped == {"odd": int(attempts.sum())}
    dataset = json.loads((tmp_path / "dataset.json").read_text())
    assert dataset["filters"] == [{"name": "odd", "share": 2, "dropped": int(attempts.sum())}]
    assert dataset["seeds"]["last"] == 60 * (int(attempts.max()) + 1) - 1


def test_filters_do_not_know_the_workers(package: Package, tmp_path: Path) -> None:
    for workers in (1, 2):
        synthesize_into(tmp_path / str(workers), package, SHARDS, filters=[OddSeeds()], workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_filter_that_nothing_passes_ends_the_run(package: Package, tmp_path: Path, workers: int) -> None:
    message = r"row \d+ of class '\d': all 3 candidates were dropped \(in this part so far: odd \d+\); loosen"
    with pytest.raises(SynthesisError, match=message):
        synthesize_into(tmp_path, package, SHARDS, filters=[OddSeeds(10**9)], max_attempts=3, workers=workers)


def test_more_attempts_may_be_allowed_later(package: Package, tmp_path: Path) -> None:
    with pytest.raises(SynthesisError, match="all 2 candidates"):
        synthesize_into(tmp_path / "out", package, SHARDS, filters=[OddSeeds()], max_attempts=2)
    for name in ("out", "at once"):
        synthesize_into(tmp_path / name, package, SHARDS, filters=[OddSeeds()], max_attempts=50)
    assert contents(tmp_path / "out") == contents(tmp_path / "at once")


# ---- descriptions


def test_the_card_is_hugging_faces_and_says_where_all_came_from(package: Package, tmp_path: Path) -> None:
    synthesize_into(tmp_path, package, replace(SHARDS, classes=["3", "4"], seed=5), filters=[OddSeeds()])
    card = (tmp_path / "README.md").read_text()
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "pretty_name": "12 images of tiny@1",
        "license": "apache-2.0",
        "tags": ["synthetic", "latentd"],
        "task_categories": ["image-classification"],
        "size_categories": ["n<1K"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "train-*.tar"}]}],
    }
    dataset = json.loads((tmp_path / "dataset.json").read_text())
    assert dataset["rows_per_class"] == {"3": 6, "4": 6}
    assert dataset["package"]["graph_sha256"] == package.manifest.precisions["fp32"].sha256
    for part in (
        dataset["package"]["manifest_sha256"],
        package.manifest.provenance.data.fingerprint,
        "`--odd` dropped",
        "Row seeds 5 to",
        "The package carries none.",
        "6 of each class: 3, 4",
    ):
        assert part in text


@pytest.mark.parametrize("name", ["webdataset", "npz", "idx"])
def test_the_cards_example_runs(package: Package, tmp_path: Path, name: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    synthesize_into(tmp_path, package, SynthesisOptions(format=name, per_class=2))
    code = (tmp_path / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102 - the card is ours
    if name == "webdataset":
        assert set(names["sample"]) >= {"__key__", "png", "cls"}
    else:
        assert names["images"].shape[:3] == (20, 8, 8)
