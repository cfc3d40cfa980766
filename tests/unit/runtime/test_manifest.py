"""`manifest.json`: what is read, and what is refused under which reason."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from runtime.errors import PackageCorrupt, PackageUnsupported
from runtime.manifest import MANIFEST_FILE, SCHEMA_VERSION, Manifest, Output, Parity, read_manifest
from runtime.package import Package
from runtime.store import DirectoryStore
from tests.kit.tiny_package import edit_manifest, publish_tiny

Edit = Callable[[dict[str, Any]], object]


@pytest.fixture
def package(tiny_store: DirectoryStore) -> Package:
    return tiny_store.open("tiny", 1)


def test_a_manifest_reads_back_as_it_was_written(package: Package) -> None:
    assert read_manifest(package.path) == package.manifest
    assert package.manifest.to_json() == (package.path / MANIFEST_FILE).read_text()
    assert Manifest.model_validate_json(package.manifest.to_json()) == package.manifest


def test_a_manifest_cannot_be_changed_in_memory(package: Package) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        package.manifest.version = 2


def test_reference_is_name_at_version(package: Package) -> None:
    assert package.manifest.reference == "tiny@1"


def test_stored_files_lists_graphs_and_other_files(package: Package) -> None:
    files = package.manifest.stored_files()
    assert set(files) == {"generator.onnx", "generator.int8.onnx", "expected.npz"}
    assert all(files[name].size == (package.path / name).stat().st_size for name in files)


def test_the_shape_of_an_image_and_of_a_sequence() -> None:
    assert Output(height=4, width=6, channels=3).shape == (4, 6, 3)
    assert Output(height=4, width=6, channels=3, frames=5).shape == (5, 4, 6, 3)


def test_a_manifest_from_before_intervals_and_requirements_is_read(package: Package) -> None:
    def older(manifest: dict[str, Any]) -> None:
        del manifest["requirements"]
        manifest["evaluation"] = {"label_accuracy": {"value": 0.9, "samples": 200, "real": None}}

    edit_manifest(package.path, older)
    manifest = read_manifest(package.path)
    assert manifest.missed() == []
    assert manifest.evaluation["label_accuracy"].interval is None


def test_a_missing_manifest_is_refused(package: Package) -> None:
    (package.path / MANIFEST_FILE).unlink()
    with pytest.raises(PackageCorrupt, match=r"manifest\.json cannot be read: No such file"):
        read_manifest(package.path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "manifest.json is not JSON"),
        (b'{"schema_version": 1, "name": "ti', "manifest.json is not JSON"),
        (b"\xff\xfe\x00", "manifest.json is not JSON"),
        (b"[" * 100_000, "manifest.json is not JSON"),
        (b"[1, 2]", "manifest.json holds a list, not an object"),
        (b"null", "manifest.json holds a NoneType, not an object"),
    ],
    ids=["empty", "truncated", "not-utf-8", "bottomless", "list", "null"],
)
def test_a_manifest_that_is_not_a_json_object_is_refused(package: Package, content: bytes, reason: str) -> None:
    (package.path / MANIFEST_FILE).write_bytes(content)
    with pytest.raises(PackageCorrupt, match=reason) as refused:
        read_manifest(package.path)
    assert refused.value.package == str(package.path)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_manifest_is_refused(package: Package, keep: float) -> None:
    path = package.path / MANIFEST_FILE
    content = path.read_bytes().rstrip()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(PackageCorrupt, match=r"manifest\.json is not JSON"):
        read_manifest(package.path)


def test_a_future_schema_is_refused_without_a_guess(package: Package) -> None:
    future = {"schema_version": SCHEMA_VERSION + 1, "layout": "something else altogether"}
    (package.path / MANIFEST_FILE).write_text(json.dumps(future))
    with pytest.raises(PackageUnsupported, match="schema_version is 2, this latentd reads up to 1: upgrade latentd"):
        read_manifest(package.path)


@pytest.mark.parametrize(
    ("edit", "field", "value"),
    [
        (lambda m: m.update(colour="blue"), "colour", "blue"),
        (lambda m: m["latent"].update(mean=1), "latent.mean", "1"),
        (lambda m: m.update(schema_version=0), "schema_version", "0"),
        (lambda m: m.update(schema_version="1"), "schema_version", "'1'"),
        (lambda m: m.update(version=0), "version", "0"),
        (lambda m: m.update(version="one"), "version", "'one'"),
        (lambda m: m.update(name="../tiny"), "name", "'../tiny'"),
        (lambda m: m.update(name="Tiny"), "name", "'Tiny'"),
        (lambda m: m.update(name="tiny\n"), "name", r"'tiny\n'"),
        (lambda m: m.update(name="x" * 65), "name", "'xxx"),
        (lambda m: m.pop("licence"), "licence", ""),
        (lambda m: m.update(precisions={}), "precisions", "{}"),
        (lambda m: m["precisions"].update(fp8=m["precisions"]["fp32"]), "precisions.fp8", "'fp8'"),
        (lambda m: m["latent"].update(dim=0), "latent.dim", "0"),
        (lambda m: m["latent"].update(distribution="uniform"), "latent.distribution", "'uniform'"),
        (lambda m: m["output"].update(channels=2), "output.channels", "2"),
        (lambda m: m["output"].update(height=8193), "output.height", "8193"),
        (lambda m: m["files"]["expected.npz"].update(sha256="0" * 63), "files.expected.npz.sha256", "'000"),
        (lambda m: m["files"]["expected.npz"].update(size=-1), "files.expected.npz.size", "-1"),
        (lambda m: m.update(classes=["a", "b", "a"]), "manifest", "names repeat: ['a', 'b', 'a']"),
        (lambda m: m["self_test"].update(file="other.npz"), "manifest", "'other.npz' is not listed in files"),
        (lambda m: m["self_test"]["tolerance"].pop("int8"), "manifest", "no entry for ['int8']"),
        (lambda m: m["self_test"]["tolerance"].update(int8=-0.5), "self_test.tolerance.int8", "-0.5"),
        (lambda m: m["self_test"]["tolerance"].update(int8=float("nan")), "self_test.tolerance.int8", "nan"),
        (lambda m: m["self_test"]["tolerance"].update(int8=float("inf")), "self_test.tolerance.int8", "inf"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name_and_value(package: Package, edit: Edit, field: str, value: str) -> None:
    edit_manifest(package.path, edit)
    with pytest.raises(PackageCorrupt) as refused:
        read_manifest(package.path)
    assert refused.value.reason.startswith(f"{MANIFEST_FILE}: {field}")
    assert value in refused.value.reason


@pytest.mark.parametrize(
    "name",
    ["../secret.onnx", "/etc/passwd", "a/b.onnx", "..", ".hidden", "a\\b", "a\n", "a\0", "", "c:x", "x" * 129],
)
def test_a_file_name_that_could_leave_the_package_is_refused(package: Package, name: str) -> None:
    edit_manifest(package.path, lambda m: m["precisions"]["fp32"].update(file=name))
    with pytest.raises(PackageCorrupt, match=r"precisions\.fp32\.file"):
        read_manifest(package.path)
    edit_manifest(package.path, lambda m: m["precisions"]["fp32"].update(file="generator.onnx"))
    assert read_manifest(package.path)
    edit_manifest(package.path, lambda m: m["files"].update({name: m["files"]["expected.npz"]}))
    with pytest.raises(PackageCorrupt, match=r"manifest\.json: files"):
        read_manifest(package.path)


def test_a_long_value_is_not_repeated_in_full(package: Package) -> None:
    edit_manifest(package.path, lambda m: m.update(name="x" * 10_000))
    with pytest.raises(PackageCorrupt) as refused:
        read_manifest(package.path)
    assert len(refused.value.reason) < 400


def test_a_number_that_json_cannot_hold_is_refused_when_it_is_written() -> None:
    with pytest.raises(ValidationError, match="finite"):
        Parity(against="fp32", images=8, max_abs=0, mean_abs=0.0, psnr_db=float("inf"))


def test_an_unconditional_manifest_has_no_classes(store: DirectoryStore) -> None:
    assert publish_tiny(store, classes=()).manifest.classes == []
