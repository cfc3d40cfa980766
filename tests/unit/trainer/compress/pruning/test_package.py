"""From a package to its next version with a smaller generator."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch

from runtime.generator import Generator
from runtime.latents import row_seeds
from runtime.package import Package
from runtime.store import DirectoryStore
from tests.kit.tiny_package import publish_tiny
from tests.unit.trainer.compress.graphs import kinds
from tests.unit.trainer.runs import TINY
from trainer.checkpoints import read_checkpoint
from trainer.compress.fidelity import BarsConfig
from trainer.compress.int8 import Int8Config
from trainer.compress.pruning.config import ChannelPruningConfig, DistillationConfig, WeightPruningConfig
from trainer.compress.pruning.networks import read_networks
from trainer.compress.pruning.package import PruneRequest, prune_package
from trainer.compress.quantizing import QuantizeRequest, quantize_package
from trainer.errors import ConfigError, ExportError, RunError
from trainer.training import TrainRequest, train

QUICK = DistillationConfig(steps=30, batch_size=16)
ANY = BarsConfig(min_psnr_db=0, max_frechet_increase=1e6, max_accuracy_loss=1)


def request(models: DirectoryStore, **others: Any) -> PruneRequest:
    settings: dict[str, Any] = {
        "package": "digits-cgan@1", "store": models.root, "config": ChannelPruningConfig(distillation=QUICK),
        "bars": ANY, "samples": 64, "cache": models.root.parent / "cache",
    }  # fmt: skip
    return PruneRequest(**(settings | others))


def test_the_next_version_is_an_ordinary_smaller_package(models: DirectoryStore, package: Package) -> None:
    said: list[str] = []
    found = prune_package(request(models), said.append)
    manifest = found.manifest
    assert manifest.reference == "digits-cgan@2"
    assert manifest.provenance.parent == "digits-cgan@1"
    assert manifest.provenance.config["generator"]["width"] == 4
    assert manifest.provenance.config["discriminator"] == package.manifest.provenance.config["discriminator"]
    assert set(manifest.precisions) == {"fp32"}
    entry = manifest.precisions["fp32"]
    assert entry.method == ChannelPruningConfig(distillation=QUICK).model_dump(mode="json")
    assert entry.parity.against == "parent"
    assert entry.reproducible
    assert entry.size < package.manifest.precisions["fp32"].size
    assert "ConvTranspose" not in kinds(onnx.load(found.path / entry.file)), "they are computed in phases"
    assert manifest.evaluation == {}, "measures of another generator"
    assert {"checkpoint.pt", "samples.png", "expected.npz", "metrics.json"} == set(manifest.files)
    assert (found.path / "samples.png").read_bytes() != (package.path / "samples.png").read_bytes()
    assert "removing 50% of the channels, then 30 steps of distillation by pixels and the discriminator's" in said[0]
    images = Generator(models.open("digits-cgan", 2), "fp32").sample(row_seeds(0, 4))
    assert images.shape == (4, 8, 8, 1)


def test_it_can_be_pruned_quantized_and_trained_on(models: DirectoryStore) -> None:
    pruned = prune_package(request(models), print)
    rebuilt = read_networks(pruned)
    assert rebuilt.discriminator is not None
    again = prune_package(request(models, package="digits-cgan@2"), print)
    assert again.manifest.provenance.parent == "digits-cgan@2"
    int8 = quantize_package(
        QuantizeRequest("digits-cgan@2", models.root, Int8Config(images=64), ANY, 64, models.root.parent / "cache"),
        print,
    )
    assert set(int8.manifest.precisions) == {"fp32", "int8"}
    settings = (
        *TINY, "generator.width=4", "generator.min_width=4", "budget.images=32", "export.precisions=[fp32]",
        f"start_from={pruned.path}",
    )  # fmt: skip
    folder = models.root.parent
    child = train(TrainRequest("digits-cgan", folder / "run", folder / "models", settings, "child", ""), print).package
    assert child is not None
    assert child.manifest.provenance.parent == "digits-cgan@2"


def test_distillation_brings_it_nearer(models: DirectoryStore) -> None:
    psnr = []
    for steps in (0, 150):
        config = ChannelPruningConfig(distillation=DistillationConfig(steps=steps, batch_size=16))
        found = prune_package(request(models, config=config), print)
        psnr.append(found.manifest.precisions["fp32"].parity.psnr_db)
    assert psnr[0] is not None and psnr[1] is not None
    assert psnr[1] > psnr[0] + 2


def test_single_weights_save_nothing_and_that_is_said(models: DirectoryStore, package: Package) -> None:
    said: list[str] = []
    config = WeightPruningConfig(ratio=0.6, distillation=QUICK)
    found = prune_package(request(models, config=config), said.append)
    size = package.manifest.precisions["fp32"].size
    assert found.manifest.precisions["fp32"].size == pytest.approx(size, rel=0.01)
    [note] = [line for line in said if line.startswith("note:")]
    assert "60% of the weights are zero. The file is as large as before and no faster to run" in note
    weights = read_checkpoint(found.path / "checkpoint.pt")["system"]["generator_ema"]["convs.0.weight"]
    assert float((weights == 0).float().mean()) == pytest.approx(0.6, abs=0.02)
    assert found.manifest.provenance.config["generator"] == package.manifest.provenance.config["generator"]


def test_the_checkpoint_holds_the_pruned_generator_and_the_discriminator(
    models: DirectoryStore, package: Package
) -> None:
    found = prune_package(request(models), print)
    before, after = (read_checkpoint(each.path / "checkpoint.pt")["system"] for each in (package, found))
    assert after["generator_ema"]["linear.weight"].shape[0] == before["generator_ema"]["linear.weight"].shape[0] // 2
    assert all(torch.equal(value, after["discriminator"][name]) for name, value in before["discriminator"].items())
    assert not [name for name in after if name.endswith("_optimizer")]


def test_below_a_bar_nothing_is_published(models: DirectoryStore) -> None:
    with pytest.raises(ExportError, match=r"fp32 misses psnr_db>=80"):
        prune_package(request(models, bars=BarsConfig(min_psnr_db=80)), print)
    assert models.versions() == {"digits-cgan": [1]}


def test_the_other_precisions_are_not_carried_over_and_that_is_said(models: DirectoryStore) -> None:
    cache = models.root.parent / "cache"
    quantize_package(QuantizeRequest("digits-cgan@1", models.root, Int8Config(images=64), ANY, 64, cache), print)
    said: list[str] = []
    found = prune_package(request(models, package="digits-cgan@2"), said.append)
    assert set(found.manifest.precisions) == {"fp32"}
    assert "int8 of digits-cgan@2 belong to the whole generator and are not carried over" in said


def test_a_package_without_weights_is_refused(models: DirectoryStore) -> None:
    publish_tiny(models, "foreign")
    with pytest.raises(RunError, match=r"foreign@1 holds no checkpoint\.pt"):
        prune_package(request(models, package="foreign"), print)


def test_a_generator_of_unknown_channels_is_refused_with_those_that_are_known(
    models: DirectoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainer.networks.upsampling_generator import UpsamplingGeneratorConfig

    monkeypatch.setattr(UpsamplingGeneratorConfig, "narrowed", lambda _self, _keep: None)
    with pytest.raises(ConfigError, match=r"generator 'upsampling' that does not say .*; dcgan, lstm, mlp, resnet do"):
        prune_package(request(models), print)


def test_weights_of_another_generator_are_noticed(models: DirectoryStore, package: Package) -> None:
    from runtime.package import describe_file
    from tests.kit.tiny_package import edit_manifest

    checkpoint = read_checkpoint(package.path / "checkpoint.pt")
    average = checkpoint["system"]["generator_ema"]
    average["to_image.weight"] = -3 * average["to_image.weight"] + 0.5
    torch.save(dict(checkpoint), package.path / "checkpoint.pt")
    stored = describe_file(package.path / "checkpoint.pt").model_dump()
    edit_manifest(package.path, lambda manifest: manifest["files"].update({"checkpoint.pt": stored}))
    with pytest.raises(RunError, match=r"draw other images than its graph, \d+\.\d levels apart"):
        prune_package(request(models), print)


def test_rebuilt_networks_draw_what_the_graph_draws(package: Package) -> None:
    networks = read_networks(package)
    from runtime.latents import latents_from_seeds
    from trainer.grids import to_uint8

    seeds = row_seeds(3, 8)
    labels = np.arange(8, dtype=np.int64)
    latents = latents_from_seeds(seeds, networks.generator.latent_dim)
    with torch.no_grad():
        drawn = to_uint8(networks.generator(torch.from_numpy(latents), torch.from_numpy(labels))).numpy()
    expected = Generator(package, "fp32").sample(seeds, labels)
    assert np.abs(drawn.astype(int) - expected).max() <= 1
