"""From a package to its next version with another precision."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime.errors import PackageCorrupt
from runtime.generator import Generator
from runtime.latents import row_seeds
from runtime.package import Package
from runtime.store import DirectoryStore
from tests.kit.tiny_package import edit_manifest, publish_tiny
from tests.unit.trainer.compress.generators import KINDS
from trainer.compress.fidelity import BarsConfig
from trainer.compress.fp16 import Fp16Config
from trainer.compress.int8 import Int8Config
from trainer.compress.int8_dynamic import Int8DynamicConfig
from trainer.compress.int8_weights import Int8WeightsConfig
from trainer.compress.quantization import METHODS
from trainer.compress.quantizing import QuantizeRequest, quantize_package
from trainer.errors import ConfigError, DataError, ExportError


def request(models: DirectoryStore, config: METHODS, **others: Any) -> QuantizeRequest:
    settings: dict[str, Any] = {
        "package": "digits-cgan@1", "store": models.root, "config": config, "samples": 64,
        "bars": BarsConfig(min_psnr_db=0, max_frechet_increase=100, max_accuracy_loss=1),
        "cache": models.root.parent / "cache",
    }  # fmt: skip
    return QuantizeRequest(**(settings | others))


def contents(package: Package) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in package.path.iterdir()}


@pytest.mark.parametrize("config", [Int8Config(images=64), Int8WeightsConfig(), Fp16Config()], ids=lambda c: c.method)
def test_the_next_version_has_the_precision_and_the_parent_is_untouched(
    models: DirectoryStore, package: Package, config: METHODS
) -> None:
    before = contents(package)
    said: list[str] = []
    found = quantize_package(request(models, config), said.append)
    assert contents(package) == before
    assert found.manifest.reference == "digits-cgan@2"
    assert models.open("digits-cgan", 2).manifest == found.manifest
    assert set(found.manifest.precisions) == {"fp32", config.precision}
    assert found.manifest.precisions["fp32"] == package.manifest.precisions["fp32"]
    entry = found.manifest.precisions[config.precision]
    assert entry.method == config.model_dump(mode="json")
    assert entry.reproducible
    assert entry.parity.against == "fp32"
    assert entry.parity.images == 64
    assert entry.parity.psnr_db is not None and entry.parity.psnr_db > 25
    assert entry.parity.frechet_distance is not None
    assert entry.parity.features == "pixels of the reference"
    assert entry.parity.real is None
    assert entry.speed is not None
    if config.method != "int8":  # of a graph this small the scales and zero points outweigh the weights
        assert entry.size < package.manifest.precisions["fp32"].size
    assert found.manifest.provenance.parent == "digits-cgan@1"
    assert found.manifest.evaluation == package.manifest.evaluation
    assert found.manifest.files["checkpoint.pt"] == package.manifest.files["checkpoint.pt"]
    assert any("published digits-cgan@2" in line for line in said)


@pytest.mark.parametrize("config", [Int8Config(images=64), Int8WeightsConfig(bits=4), Fp16Config()], ids=str)
def test_what_is_served_is_the_same_in_any_batch(models: DirectoryStore, config: METHODS) -> None:
    generator = Generator(quantize_package(request(models, config), print), config.precision)
    seeds = row_seeds(5, 20)
    together = generator.sample(seeds)
    assert np.array_equal(np.concatenate([generator.sample(seeds[i : i + 1]) for i in range(20)]), together)
    assert np.array_equal(generator.sample(seeds[::-1].copy())[::-1], together)


def test_a_second_method_takes_the_place_of_the_first(models: DirectoryStore) -> None:
    quantize_package(request(models, Int8WeightsConfig()), print)
    quantize_package(request(models, Fp16Config(), package="digits-cgan"), print)
    third = quantize_package(request(models, Int8Config(images=64), package="digits-cgan"), print)
    assert third.manifest.version == 4
    assert third.manifest.provenance.parent == "digits-cgan@3"
    assert set(third.manifest.precisions) == {"fp32", "fp16", "int8"}
    assert third.manifest.precisions["int8"].method["method"] == "int8"


def test_real_images_are_compared_where_they_are_given(models: DirectoryStore) -> None:
    said: list[str] = []
    found = quantize_package(request(models, Fp16Config(), data="sklearn-digits"), said.append)
    parity = found.manifest.precisions["fp16"].parity
    assert parity.real is not None
    assert parity.features is not None and parity.features.startswith("judge ")
    assert parity.real.frechet_distance == pytest.approx(parity.real.reference_frechet_distance, rel=0.01)
    assert parity.real.label_accuracy is not None
    expressions = [each.expression for each in found.manifest.precisions["fp16"].requirements]
    assert expressions == ["psnr_db>=0", "frechet_increase<=100", "accuracy_loss<=1"]
    assert any("real images: Fréchet" in line for line in said)


def test_below_a_bar_nothing_is_published_unless_forced_and_then_it_is_marked(models: DirectoryStore) -> None:
    strict = request(models, Int8WeightsConfig(bits=4), bars=BarsConfig(min_psnr_db=90))
    with pytest.raises(ExportError, match=r"int8 misses psnr_db>=90 \(\d+\.\d+\): nothing is published. --force"):
        quantize_package(strict, print)
    assert models.versions() == {"digits-cgan": [1]}
    assert not list((models.root / ".staging").iterdir())
    forced = request(models, Int8WeightsConfig(bits=4), bars=BarsConfig(min_psnr_db=90), force=True)
    found = quantize_package(forced, print)
    [missed] = found.manifest.missed_bars()
    assert missed.expression == "int8.psnr_db>=90"
    assert found.manifest.missed() == []


def test_another_name_begins_with_version_1(models: DirectoryStore) -> None:
    found = quantize_package(request(models, Fp16Config(), name="small"), print)
    assert found.manifest.reference == "small@1"
    assert found.manifest.provenance.parent == "digits-cgan@1"
    with pytest.raises(ConfigError, match="--name 'Not a name'"):
        quantize_package(request(models, Fp16Config(), name="Not a name"), print)


def test_a_method_the_family_has_no_use_for_is_refused_with_those_it_has(models: DirectoryStore) -> None:
    with pytest.raises(ConfigError, match=r"digits-cgan@1, family cgan, .* takes int8, int8-weights, fp16$"):
        quantize_package(request(models, Int8DynamicConfig()), print)


def test_it_starts_from_fp32(models: DirectoryStore) -> None:
    publish_tiny(models, "only-int8", precisions=["int8"])
    with pytest.raises(ConfigError, match="only-int8@1 has int8 alone; compression starts from fp32"):
        quantize_package(request(models, Fp16Config(), package="only-int8"), print)


def test_images_of_another_size_are_refused_before_anything_is_made(models: DirectoryStore) -> None:
    publish_tiny(models, "large", size=12, classes=())
    with pytest.raises(DataError, match="images of 8×8×1, large@1 makes 12×12×1"):
        quantize_package(request(models, Fp16Config(), package="large", data="sklearn-digits"), print)


def test_packages_of_others_need_no_checkpoint(models: DirectoryStore) -> None:
    publish_tiny(models, "foreign", encoder=True)
    found = quantize_package(request(models, Int8WeightsConfig(), package="foreign"), print)
    assert found.manifest.reference == "foreign@2"
    assert found.manifest.encoder is not None


def test_the_self_test_catches_a_graph_that_is_wrongly_marked_reproducible(
    models: DirectoryStore, tmp_path: Path
) -> None:
    """An int8-dynamic LSTM in the place of a precision that says it is reproducible."""
    package = _sequences(models, tmp_path)
    found = quantize_package(request(models, Int8DynamicConfig(), package="moving"), print)
    entry = found.manifest.precisions["int8"]
    assert not entry.reproducible
    Generator(found, "int8")
    edit_manifest(found.path, lambda manifest: manifest["precisions"]["int8"].update(reproducible=True))
    with pytest.raises(PackageCorrupt, match="marked reproducible, but its images change with the batch size"):
        Generator(models.open("moving", 2), "int8")
    assert package.manifest.precisions.keys() == {"fp32"}


def _sequences(models: DirectoryStore, folder: Path) -> Package:
    """``moving@1`` with the graph of an LSTM whose images depend much on its states."""
    from runtime.images import encode_npz
    from runtime.manifest import Latent, Output, SelfTest
    from runtime.package import describe_file
    from trainer.export import GraphSession
    from trainer.probes import SELF_TEST_SEED, draw_probe

    kind = KINDS["lstm"]
    generator = kind.export(folder / "generator.onnx")
    tiny = publish_tiny(models, "shell", classes=(), precisions=["fp32"])
    probe = draw_probe(SELF_TEST_SEED, 8, generator.latent_dim, 0)
    images = GraphSession(folder / "generator.onnx")(probe.latents, probe.labels)
    with models.stage() as staged:
        (staged / "generator.onnx").write_bytes((folder / "generator.onnx").read_bytes())
        (staged / "expected.npz").write_bytes(encode_npz({"seeds": probe.seeds, "images_fp32": images}))
        entry = tiny.manifest.precisions["fp32"].model_copy(
            update=describe_file(staged / "generator.onnx").model_dump()
        )
        update = {
            "name": "moving", "latent": Latent(dim=generator.latent_dim), "precisions": {"fp32": entry},
            "output": Output(height=14, width=14, channels=1, frames=5),
            "files": {"expected.npz": describe_file(staged / "expected.npz")},
            "self_test": SelfTest(file="expected.npz", tolerance={"fp32": 0.5}),
        }  # fmt: skip
        return models.publish(
            "moving", staged, lambda version: tiny.manifest.model_copy(update=update | {"version": version})
        )
