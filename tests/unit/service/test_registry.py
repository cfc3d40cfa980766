"""Which versions are served, refused, loaded and forgotten."""

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.manifest import Manifest, Parity, Precision, PrecisionFile, Requirement
from runtime.package import Package
from runtime.store import DirectoryStore
from service.aliases import Alias, AliasTable, Canary
from service.batcher import Batcher
from service.errors import Conflict, InvalidRequest, NotFound, NotReady
from service.metrics import Metrics
from service.registry import Registry
from service.served_models import fastest
from tests.kit.tiny_package import EXPECTED_FILE, edit_manifest, flip_byte, publish_tiny, reseal
from tests.unit.service.parts import running_batcher, until


class CountingStore(DirectoryStore):
    """Notes which packages are opened."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.opened: list[str] = []

    def open(self, name: str, version: int) -> Package:
        self.opened.append(f"{name}@{version}")
        return super().open(name, version)


@pytest.fixture
def store(tmp_path: Path) -> CountingStore:
    return CountingStore(tmp_path / "models")


@pytest.fixture
async def batcher(metrics: Metrics) -> AsyncIterator[Batcher]:
    async with running_batcher(metrics, max_batch=2) as batcher:
        yield batcher


@pytest.fixture
def registry(store: CountingStore, batcher: Batcher, metrics: Metrics) -> Registry:
    return Registry(store, batcher, metrics, None)


def publish(store: DirectoryStore, name: str = "tiny", *, variant: int = 0) -> Package:
    return publish_tiny(store, name, variant=variant, precisions=("fp32",))


def served(registry: Registry) -> list[str]:
    return [model.manifest.reference for model in registry.served()]


# --- what is served ------------------------------------------------------------------------------------------


async def test_the_newest_version_serves_under_the_bare_name(store: CountingStore, registry: Registry) -> None:
    publish(store)
    publish(store)
    await registry.refresh()
    assert served(registry) == ["tiny@2"]
    assert (await registry.get("tiny")).version == 2
    assert registry.versions("tiny") == [1, 2]
    assert store.opened == ["tiny@2"], "older versions wait until somebody asks"


async def test_an_older_version_is_loaded_when_asked_for_and_once(store: CountingStore, registry: Registry) -> None:
    publish(store)
    publish(store)
    await registry.refresh()
    found = await asyncio.gather(*(registry.get("tiny@1") for _ in range(8)))
    assert {model.version for model in found} == {1}
    assert len(set(map(id, found))) == 1
    assert store.opened == ["tiny@2", "tiny@1"]
    assert served(registry) == ["tiny@2"]


async def test_a_few_older_versions_stay_loaded_those_used_last(store: CountingStore, registry: Registry) -> None:
    for _ in range(7):
        publish(store)
    await registry.refresh()
    for version in (1, 2, 3, 4, 1, 5, 6):
        assert (await registry.get(f"tiny@{version}")).version == version
    store.opened.clear()
    for version in (7, 1, 4, 5, 6):
        await registry.get(f"tiny@{version}")
    assert store.opened == [], "the one served and the four used last are still there"
    await registry.get("tiny@2")
    assert store.opened == ["tiny@2"]


async def test_an_empty_default_is_no_default(store: CountingStore, batcher: Batcher, metrics: Metrics) -> None:
    publish(store)
    registry = Registry(store, batcher, metrics, "")
    await registry.refresh()
    assert (await registry.get(None)).name == "tiny"


async def test_a_corrupt_newest_version_leaves_the_one_before_it_serving(
    store: CountingStore, registry: Registry, metrics: Metrics
) -> None:
    publish(store)
    flip_byte(publish(store).path / "generator.onnx")
    await registry.refresh()
    assert served(registry) == ["tiny@1"]
    assert registry.versions("tiny") == [1]
    assert "generator.onnx has SHA-256" in registry.refused()["tiny@2"]
    with pytest.raises(NotFound, match=r"model: tiny@2 was refused: generator\.onnx has SHA-256"):
        await registry.get("tiny@2")
    state = {"model": "tiny", "version": "2", "state": "refused"}
    assert metrics.registry.get_sample_value("latentd_model_state", state) == 1


async def test_a_refused_update_leaves_the_version_being_served(store: CountingStore, registry: Registry) -> None:
    publish(store)
    await registry.refresh()
    before = await registry.get("tiny")
    (publish(store).path / "generator.onnx").unlink()
    await registry.refresh()
    assert await registry.get("tiny") is before
    assert "generator.onnx cannot be read" in registry.refused()["tiny@2"]


async def test_a_refused_version_is_not_opened_at_every_scan(store: CountingStore, registry: Registry) -> None:
    flip_byte(publish(store).path / "generator.onnx")
    for _ in range(3):
        await registry.refresh()
    assert store.opened == ["tiny@1"]


async def test_a_model_with_nothing_but_refused_versions_is_not_found_and_says_why(
    store: CountingStore, registry: Registry
) -> None:
    package = publish(store)
    edit_manifest(package.path, lambda data: data.update(schema_version=99))
    await registry.refresh()
    with pytest.raises(NotFound, match="tiny@1 was refused: schema_version is 99, this latentd reads up to 1"):
        await registry.get("tiny")
    assert not registry.ready
    assert "every package was refused" in registry.why_not_ready


@pytest.mark.parametrize("recording", [b"", b"PK\x03\x04 not an archive", b"\x93NUMPY", b"[" * 10])
async def test_a_package_whose_recording_is_garbage_is_refused_and_the_others_serve(
    recording: bytes, store: CountingStore, registry: Registry
) -> None:
    publish(store, "good")
    package = publish(store)
    (package.path / EXPECTED_FILE).write_bytes(recording)
    reseal(package.path)
    await registry.refresh()
    assert served(registry) == ["good@1"]
    assert "tiny@1" in registry.refused()


async def test_whatever_goes_wrong_while_loading_refuses_that_version_only(
    store: CountingStore, batcher: Batcher, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, "good")
    publish(store, "tiny")
    real = Batcher.open_lane

    def open_lane(self: Batcher, generator: object, wide: object = None) -> object:
        if generator.manifest.name == "tiny":  # type: ignore[attr-defined]
            raise MemoryError("no room for a warm-up batch")
        return real(self, generator, wide)  # type: ignore[arg-type]

    monkeypatch.setattr(Batcher, "open_lane", open_lane)
    registry = Registry(store, batcher, metrics, None)
    await registry.refresh()
    assert served(registry) == ["good@1"]
    assert "no room for a warm-up batch" in registry.refused()["tiny@1"]


# --- changes while running -----------------------------------------------------------------------------------


async def test_a_new_version_is_picked_up_by_polling(store: CountingStore, registry: Registry) -> None:
    publish(store)
    await registry.refresh()
    changes: list[list[str]] = []
    registry.on_change(lambda: changes.append(served(registry)))
    polling = asyncio.create_task(registry.poll(0.01))
    try:
        publish(store, variant=1)
        publish(store, "other")
        await until(lambda: served(registry) == ["other@1", "tiny@2"])
    finally:
        polling.cancel()
    assert changes[-1] == ["other@1", "tiny@2"]


async def test_polling_outlives_a_store_that_cannot_be_read(
    store: CountingStore, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store)
    await registry.refresh()
    scans = 0
    real = store.versions

    def versions() -> dict[str, list[int]]:
        nonlocal scans
        scans += 1
        if scans == 1:
            raise PermissionError("the mount is gone")
        if scans == 2:
            raise RuntimeError("nobody foresaw this")
        return real()

    monkeypatch.setattr(store, "versions", versions)
    polling = asyncio.create_task(registry.poll(0.005))
    publish_tiny(DirectoryStore(store.root), "late", precisions=("fp32",))
    await until(lambda: "late@1" in served(registry) or polling.done())
    assert not polling.done(), "the poll task is gone, and nobody would notice"
    polling.cancel()


async def test_a_swap_leaves_a_request_that_has_begun_on_its_version(store: CountingStore, registry: Registry) -> None:
    publish(store)
    await registry.refresh()
    begun = await registry.get("tiny")
    publish(store, variant=1)
    await registry.refresh()
    assert (await registry.get("tiny")).version == 2
    assert begun.version == 1
    assert begun.lane("fp32").generator.sample(np.array([1], dtype=np.uint64)).shape == (1, 8, 8, 1)


async def test_a_deleted_model_vanishes(store: CountingStore, registry: Registry, metrics: Metrics) -> None:
    publish(store, "kept")
    publish(store, "gone")
    await registry.refresh()
    shutil.rmtree(store.root / "gone")
    await registry.refresh()
    assert served(registry) == ["kept@1"]
    for reference in ("gone", "gone@1"):
        with pytest.raises(NotFound, match=r"allowed: kept"):
            await registry.get(reference)
    state = {"model": "gone", "version": "1", "state": "ready"}
    assert metrics.registry.get_sample_value("latentd_model_state", state) is None


async def test_a_deleted_version_gives_way_to_the_newest_that_is_left(store: CountingStore, registry: Registry) -> None:
    publish(store)
    bad = publish(store, variant=1)
    await registry.refresh()
    shutil.rmtree(bad.path)
    await registry.refresh()
    assert served(registry) == ["tiny@1"]
    with pytest.raises(NotFound, match=r"model: got 'tiny@2'; allowed: versions 1 of tiny"):
        await registry.get("tiny@2")


async def test_a_model_deleted_and_made_again_serves_its_new_images(store: CountingStore, registry: Registry) -> None:
    publish(store)
    await registry.refresh()
    seeds = np.arange(4, dtype=np.uint64)
    before = (await registry.get("tiny")).lane("fp32").generator.sample(seeds)
    shutil.rmtree(store.root / "tiny")
    await registry.refresh()
    publish(store, variant=1)
    await registry.refresh()
    model = await registry.get("tiny")
    assert model.version == 1
    assert not np.array_equal(model.lane("fp32").generator.sample(seeds), before)


async def test_a_refused_package_that_was_removed_and_made_again_is_looked_at_again(
    store: CountingStore, registry: Registry
) -> None:
    flip_byte(publish(store).path / "generator.onnx")
    await registry.refresh()
    shutil.rmtree(store.root / "tiny")
    await registry.refresh()
    assert registry.refused() == {}
    publish(store)
    await registry.refresh()
    assert served(registry) == ["tiny@1"]


# --- names ---------------------------------------------------------------------------------------------------


async def test_an_unknown_name_suggests_a_near_one(store: CountingStore, registry: Registry) -> None:
    publish(store, "digits-cgan")
    publish(store, "faces")
    await registry.refresh()
    with pytest.raises(NotFound) as refusal:
        await registry.get("digit-cgan")
    assert refusal.value.message == "model: got 'digit-cgan' (did you mean digits-cgan?); allowed: digits-cgan, faces"
    assert refusal.value.param == "model"


async def test_an_unknown_version_lists_those_there_are(store: CountingStore, registry: Registry) -> None:
    publish(store)
    await registry.refresh()
    with pytest.raises(NotFound, match=r"model: got 'tiny@7'; allowed: versions 1 of tiny"):
        await registry.get("tiny@7")
    with pytest.raises(NotFound, match=r"model: got 'tony@7' \(did you mean tiny\?\); allowed: tiny"):
        await registry.get("tony@7")


@pytest.mark.parametrize(
    "reference", ["tiny@", "tiny@x", "tiny@-1", "tiny@1.0", "tiny@1@2", "tiny@²", "tiny@" + "9" * 99]
)
async def test_a_version_is_an_integer(reference: str, registry: Registry) -> None:
    await registry.refresh()
    with pytest.raises(InvalidRequest, match="allowed: name, or name@version with an integer version"):
        await registry.get(reference)


async def test_no_name_means_the_only_model(store: CountingStore, registry: Registry) -> None:
    publish(store)
    await registry.refresh()
    assert (await registry.get(None)).name == "tiny"
    assert (await registry.get("")).name == "tiny"
    publish(store, "second")
    await registry.refresh()
    with pytest.raises(InvalidRequest, match="model: got None; allowed: one of second, tiny"):
        await registry.get(None)


async def test_no_name_means_the_default_where_one_is_set(
    store: CountingStore, batcher: Batcher, metrics: Metrics
) -> None:
    publish(store)
    publish(store, "second")
    registry = Registry(store, batcher, metrics, "second")
    await registry.refresh()
    assert (await registry.get(None)).name == "second"


async def test_before_the_first_scan_is_over_the_answer_is_to_come_back(
    store: CountingStore, registry: Registry
) -> None:
    for reference in (None, "tiny", "tiny@1"):
        with pytest.raises(NotReady) as refusal:
            await registry.get(reference)
        assert refusal.value.retry_after_s > 0
    assert not registry.ready
    assert registry.why_not_ready == "models are still being loaded"


async def test_no_name_never_means_whichever_model_happened_to_load_first(
    store: CountingStore, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, "first")
    publish(store, "second")
    gate, real = threading.Event(), store.open

    def open_slowly(name: str, version: int) -> Package:
        assert name == "first" or gate.wait(20)
        return real(name, version)

    monkeypatch.setattr(store, "open", open_slowly)
    scan = asyncio.create_task(registry.refresh())
    await until(lambda: bool(registry.served()))
    with pytest.raises(NotReady):
        await registry.get(None)
    gate.set()
    await scan


async def test_an_empty_store_says_so(registry: Registry) -> None:
    await registry.refresh()
    assert not registry.ready
    assert registry.why_not_ready == "the store holds no model yet"
    with pytest.raises(NotFound, match="model: got 'tiny'; allowed: none, the store is empty"):
        await registry.get("tiny")


# --- precisions ----------------------------------------------------------------------------------------------


async def test_auto_is_the_fastest_precision_published(
    tiny_store: DirectoryStore, batcher: Batcher, metrics: Metrics
) -> None:
    registry = Registry(tiny_store, batcher, metrics, None)
    await registry.refresh()
    model = await registry.get("tiny")
    assert model.lane("auto").generator.precision == "int8"
    assert model.lane("fp32").generator.precision == "fp32"
    with pytest.raises(InvalidRequest, match="precision: got 'fp16'; allowed: auto, fp32, int8 for tiny@1"):
        model.lane("fp16")


def told(speed: dict[Precision, float | None], **of_int8: Any) -> Manifest:
    """A manifest whose precisions say how fast they are."""
    reference = Parity(against="fp32", images=1, max_abs=0, mean_abs=0.0)
    entries = {
        name: PrecisionFile(sha256="0" * 64, size=1, file=f"{name}.onnx", parity=reference, speed=value)
        for name, value in speed.items()
    }
    if "int8" in entries:
        entries["int8"] = entries["int8"].model_copy(update=of_int8)
    return Manifest.model_construct(precisions=entries)


MISSED = [Requirement(expression="psnr_db>=20", value=12.0, met=False)]


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        (told({"fp32": None, "int8": 2.9}), "int8"),
        (told({"fp32": None, "int8": None}), "int8"),
        (told({"fp32": None, "int8": 0.7}), "fp32"),
        (told({"fp32": None, "int8": 1.05, "fp16": 1.04}), "fp32"),
        (told({"fp32": None, "int8": 3.0}, reproducible=False), "fp32"),
        (told({"fp32": None, "int8": 3.0}, requirements=MISSED), "fp32"),
        (told({"int8": 0.5}), "int8"),
        (told({"int8": 3.0}, reproducible=False), "int8"),
        (told({"fp32": 2.8}), "fp32"),
    ],
)
def test_auto_takes_what_is_worth_it_and_sound(manifest: Manifest, expected: Precision) -> None:
    assert fastest(manifest, on_cpu=True) == expected


def test_speeds_measured_on_a_processor_say_nothing_of_a_gpu() -> None:
    assert fastest(told({"fp32": None, "fp16": None, "int8": 3.0}), on_cpu=False) == "fp32"


# --- memory --------------------------------------------------------------------------------------------------


async def test_of_the_versions_asked_for_by_number_the_last_used_stay_loaded(
    store: CountingStore, registry: Registry
) -> None:
    for variant in range(7):
        publish(store, variant=variant)
    await registry.refresh()
    for version in (1, 2, 3, 4, 1, 5):  # five others than the newest: one must go, and 1 was used again
        await registry.get(f"tiny@{version}")
    store.opened.clear()
    for version in (1, 3, 4, 5, 7):
        await registry.get(f"tiny@{version}")
    assert store.opened == []
    await registry.get("tiny@2")
    assert store.opened == ["tiny@2"]
    assert served(registry) == ["tiny@7"]


# --- aliases -------------------------------------------------------------------------------------------------


async def test_an_alias_means_its_target_until_it_is_set_anew(store: CountingStore, registry: Registry) -> None:
    publish(store)
    publish(store)
    await registry.refresh()
    await registry.set_alias("stable", Alias(target="tiny@1"))
    before = await registry.get("stable")
    await registry.set_alias("stable", Alias(target="tiny@2"))
    assert (before.version, (await registry.get("stable")).version) == (1, 2)
    await registry.delete_alias("stable")
    with pytest.raises(NotFound, match="model: got 'stable'; allowed: tiny"):
        await registry.get("stable")
    with pytest.raises(NotFound, match="alias: got 'stable'; allowed: none is set"):
        await registry.delete_alias("stable")


async def test_an_alias_is_refused_where_it_could_not_answer(store: CountingStore, registry: Registry) -> None:
    publish(store)
    await registry.refresh()
    for name, alias, error, words in (
        ("tiny", Alias(target="tiny@1"), Conflict, "which is a model"),
        ("stable", Alias(target="tiny@7"), NotFound, "'tiny@7'"),
        ("stable", Alias(target="tiny@1", canary=Canary(target="other@1", weight=0.5)), NotFound, "'other@1'"),
        ("Stable", Alias(target="tiny@1"), InvalidRequest, "alias: got 'Stable'"),
        ("../x", Alias(target="tiny@1"), InvalidRequest, "alias: got '../x'"),
    ):
        with pytest.raises(error, match=words):
            await registry.set_alias(name, alias)
    assert registry.aliases() == {}


async def test_a_models_own_name_goes_before_an_alias(store: CountingStore, registry: Registry) -> None:
    publish(store)
    await registry.refresh()
    await registry.set_alias("other", Alias(target="tiny@1"))
    publish(store, "other")
    await registry.refresh()
    assert (await registry.get("other")).name == "other"


async def test_what_an_alias_stands_for_stays_loaded(store: CountingStore, registry: Registry) -> None:
    for _ in range(8):
        publish(store)
    await registry.refresh()
    await registry.set_alias("stable", Alias(target="tiny@1"))
    for version in range(2, 8):
        await registry.get(f"tiny@{version}")
    store.opened.clear()
    assert (await registry.get("stable")).version == 1
    assert store.opened == []


async def test_aliases_are_loaded_at_the_start(
    store: CountingStore, batcher: Batcher, metrics: Metrics, tmp_path: Path
) -> None:
    publish(store)
    publish(store)
    AliasTable(tmp_path / "aliases.json").put("stable", Alias(target="tiny@1"))
    registry = Registry(store, batcher, metrics, "stable", AliasTable(tmp_path / "aliases.json"))
    await registry.refresh()
    assert store.opened == ["tiny@2", "tiny@1"]
    assert (await registry.get(None)).version == 1, "an alias may be the default"


# --- loading and unloading -----------------------------------------------------------------------------------


async def test_an_unloaded_model_stays_away_until_it_is_loaded(store: CountingStore, registry: Registry) -> None:
    publish(store)
    publish(store, "other")
    await registry.refresh()
    changes: list[list[str]] = []
    registry.on_change(lambda: changes.append(served(registry)))
    held = await registry.get("tiny")
    registry.unload("tiny")
    await registry.refresh()
    for reference in ("tiny", "tiny@1"):
        with pytest.raises(NotFound, match="tiny was unloaded; load it with"):
            await registry.get(reference)
    assert held.lanes["fp32"].generator.run is not None, "a request that began keeps its version"
    assert {each.name: (each.state, each.reason) for each in registry.stored()} == {
        "other": ("READY", ""),
        "tiny": ("UNAVAILABLE", "unloaded"),
    }
    assert (await registry.load("tiny")).version == 1
    assert changes == [["other@1"], ["other@1", "tiny@1"]]


async def test_loading_takes_what_is_new_and_tries_what_was_refused_again(
    store: CountingStore, registry: Registry
) -> None:
    package = publish(store)
    graph = package.path / "generator.onnx"
    good = graph.read_bytes()
    flip_byte(graph)
    await registry.refresh()
    with pytest.raises(NotFound, match="refused"):
        await registry.load("tiny")
    graph.write_bytes(good)
    assert (await registry.load("tiny")).version == 1
    publish(store)
    assert (await registry.load("tiny")).version == 2


async def test_what_is_not_there_can_be_neither_loaded_nor_unloaded(store: CountingStore, registry: Registry) -> None:
    publish(store)
    await registry.refresh()
    with pytest.raises(NotFound, match="'nothing'"):
        await registry.load("nothing")
    with pytest.raises(NotFound, match="'nothing'"):
        registry.unload("nothing")


async def test_an_encoder_is_loaded_with_its_model(store: CountingStore, registry: Registry) -> None:
    publish_tiny(store, "seer", encoder=True, precisions=("fp32",))
    publish(store)
    await registry.refresh()
    assert (await registry.get("seer")).encoder is not None
    assert (await registry.get("tiny")).encoder is None
