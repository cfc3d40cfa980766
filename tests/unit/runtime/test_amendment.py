"""What may be put beside a published package, and that it verifies at every moment."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runtime import amendment
from runtime.amendment import amend
from runtime.atomic import write_atomic
from runtime.manifest import Manifest, Measurement
from runtime.package import Package, open_package
from runtime.store import DirectoryStore


@pytest.fixture
def package(tiny_store: DirectoryStore) -> Package:
    return tiny_store.open("tiny", 1)


def measured(name: str, value: float) -> Any:
    """A change that adds one measure."""

    def change(manifest: Manifest) -> Manifest:
        found = manifest.evaluation | {name: Measurement(value=value, samples=1)}
        return manifest.model_copy(update={"evaluation": found})

    return change


def test_files_and_measures_are_added_and_replaced(package: Package) -> None:
    amend(package, {"report.html": b"first"}, measured("coverage", 0.5))
    amended = amend(package, {"report.html": b"second", "evaluation.json": b"{}"}, measured("recall", 0.25))
    found = open_package(package.path)
    assert found.manifest == amended.manifest
    assert {name: each.value for name, each in found.manifest.evaluation.items()} == {"coverage": 0.5, "recall": 0.25}
    assert found.read_verified("report.html") == b"second"
    assert found.manifest.precisions == package.manifest.precisions


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_crash_after_any_write_leaves_a_package_that_verifies(
    package: Package, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    amend(package, {"report.html": b"first"}, measured("coverage", 0.5))
    left = [writes]

    def crash(*arguments: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write_atomic(*arguments)

    monkeypatch.setattr(amendment, "write_atomic", crash)
    with pytest.raises(KeyboardInterrupt):
        amend(package, {"report.html": b"second"}, measured("coverage", 0.75))
    found = open_package(package.path)
    assert found.manifest.evaluation["coverage"].value == 0.5
    assert found.manifest.precisions == package.manifest.precisions


def test_two_at_once_lose_nothing(package: Package) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: amend(package, {f"{n}.json": b"%d" % n}, measured(f"measure-{n}", n)), range(8)))
    found = open_package(package.path).manifest
    assert len(found.evaluation) == 8
    assert {f"{n}.json" for n in range(8)} <= set(found.files)


def test_graphs_are_not_evidence(package: Package) -> None:
    with pytest.raises(AssertionError, match=r"generator\.onnx"):
        amend(package, {"generator.onnx": b"another"}, lambda manifest: manifest)
