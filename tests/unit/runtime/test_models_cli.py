"""`latentd models`: look into a store without a server."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from runtime.models_cli import models
from runtime.store import DirectoryStore
from tests.kit.tiny_package import edit_manifest, flip_byte, publish_tiny, reseal


def run(*arguments: object) -> Result:
    return CliRunner().invoke(models, [str(argument) for argument in arguments])


def test_list_has_one_line_per_package(tiny_store: DirectoryStore) -> None:
    publish_tiny(tiny_store, "plain", classes=(), channels=3, size=16, precisions=["fp32"])
    result = run("list", "--store", tiny_store.root)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "plain@1  tiny  16×16×3  unconditional  fp32",
        "tiny@1  tiny  8×8×1  10 classes  fp32, int8",
    ]


def test_list_shows_the_requirements_that_a_package_misses(tiny_store: DirectoryStore) -> None:
    requirements = [
        {"expression": "coverage>=0.6", "value": 0.41234, "met": False},
        {"expression": "recall>=0.1", "value": 0.5, "met": True},
        {"expression": "modes>=2", "value": None, "met": False},
    ]
    edit_manifest(tiny_store.open("tiny", 1).path, lambda manifest: manifest.update(requirements=requirements))
    [line] = run("list", "--store", tiny_store.root).output.splitlines()
    assert line.endswith("fp32, int8  MISSES coverage>=0.6 (0.4123), modes>=2 (not measured)")


def test_list_shows_the_bars_that_a_precision_misses(tiny_store: DirectoryStore) -> None:
    missed = [{"expression": "psnr_db>=20", "value": 14.25, "met": False}]
    edit_manifest(
        tiny_store.open("tiny", 1).path, lambda manifest: manifest["precisions"]["int8"].update(requirements=missed)
    )
    [line] = run("list", "--store", tiny_store.root).output.splitlines()
    assert line.endswith("fp32, int8  MISSES int8.psnr_db>=20 (14.25)")


def test_list_names_the_reason_of_a_refused_package_and_goes_on(tiny_store: DirectoryStore) -> None:
    flip_byte(publish_tiny(tiny_store).path / "generator.onnx")
    edit_manifest(publish_tiny(tiny_store).path, lambda m: m.update(schema_version=2))
    result = run("list", "--store", tiny_store.root)
    assert result.exit_code == 0
    first, second, third = result.output.splitlines()
    assert first.startswith("tiny@1  tiny")
    assert second.startswith("tiny@2  REFUSED: generator.onnx has SHA-256")
    assert third == "tiny@3  REFUSED: schema_version is 2, this latentd reads up to 1: upgrade latentd"


def test_list_of_an_absent_store_is_empty(tmp_path: Path) -> None:
    result = run("list", "--store", tmp_path / "absent")
    assert (result.exit_code, result.output) == (0, "")


def test_verify_runs_every_precision(tiny_store: DirectoryStore) -> None:
    result = run("verify", "tiny@1", "--store", tiny_store.root)
    assert (result.exit_code, result.output) == (0, "tiny@1 fp32: ok\ntiny@1 int8: ok\n")


def test_verify_fails_on_a_graph_that_draws_other_images(tiny_store: DirectoryStore) -> None:
    broken, other = publish_tiny(tiny_store), publish_tiny(tiny_store, variant=1)
    (broken.path / "generator.int8.onnx").write_bytes((other.path / "generator.int8.onnx").read_bytes())
    reseal(broken.path)
    result = run("verify", "tiny@2", "--store", tiny_store.root)
    assert result.exit_code == 1
    assert "tiny@2 fp32: ok" in result.output
    assert "Error: package tiny@2: int8 differs from expected.npz by" in result.output


def test_verify_of_an_absent_package_says_where_it_looked(tiny_store: DirectoryStore) -> None:
    result = run("verify", "tiny@9", "--store", tiny_store.root)
    assert result.exit_code == 1
    assert f"Error: package tiny@9: not in the store {tiny_store.root}" in result.output


@pytest.mark.parametrize("reference", ["tiny", "tiny@", "tiny@latest", "tiny@-1", "tiny@1@2", "tiny@²"])
def test_verify_wants_a_name_and_a_version(tiny_store: DirectoryStore, reference: str) -> None:
    result = run("verify", reference, "--store", tiny_store.root)
    assert result.exit_code == 2
    assert f"{reference!r} is not name@version, e.g. digits-cgan@1" in result.output
