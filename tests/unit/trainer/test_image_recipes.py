"""Every recipe of an image GAN, small: it builds, takes steps, and its generator runs as ONNX."""

from pathlib import Path

import numpy as np
import pytest
import torch

from runtime.latents import latents_from_seeds, row_seeds
from trainer.config import apply_overrides
from trainer.data import ImageSpec
from trainer.device import make_fabric
from trainer.errors import DataError
from trainer.export import ExportGraph, GraphSession, check_in_subprocess, export_fp32
from trainer.networks import DISCRIMINATORS, GENERATORS
from trainer.networks.dcgan_generator import DcganGeneratorConfig, dcgan_doublings
from trainer.networks.mlp_generator import MlpGeneratorConfig
from trainer.parity import compare
from trainer.recipe import Recipe, load_recipe
from trainer.systems.adversarial import AdversarialSystem

SPECS = [ImageSpec(8, 8, 1, 10), ImageSpec(28, 28, 1, 10), ImageSpec(32, 32, 3, 10)]
RECIPES = [
    "cgan",
    "dcgan",
    "digits-cgan",
    "gan-mlp",
    "gan-mlp-dataset",
    "gan-mlp-regularized",
    "gat-dcgan",
    "gat-mlp",
    "lsgan",
    "pacgan",
    "r3gan-small",
    "resnet-hinge",
    "softmax-gan",
    "wgan",
    "wgan-gp",
]
SMALL = {
    "mlp": ("hidden=[16, 12]",),
    "upsampling": ("width=8", "min_width=8"),
    "projection": ("width=8", "min_width=8", "features=8"),
    "concatenation": ("width=8", "min_width=8", "features=8"),
    "dcgan": ("width=8",),
    "resnet": ("width=8",),
}
GENERATOR_KINDS = ("dcgan", "mlp", "resnet", "upsampling")
DISCRIMINATOR_KINDS = ("concatenation", "dcgan", "mlp", "projection", "resnet")


def small(recipe: Recipe) -> Recipe:
    """`recipe` with networks of a few units."""
    return apply_overrides(
        recipe,
        [
            *(f"generator.{override}" for override in SMALL[recipe.generator.kind]),
            *(f"discriminator.{override}" for override in SMALL[recipe.discriminator.kind]),
        ],
    )


def build(recipe: Recipe, spec: ImageSpec) -> AdversarialSystem:
    """The recipe's system, seeded."""
    fabric = make_fabric(recipe.device, spec)
    fabric.seed_everything(0, verbose=False)
    system = recipe.system.build(recipe, spec, fabric)
    assert isinstance(system, AdversarialSystem)
    return system


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_steps(name: str, spec: ImageSpec) -> None:
    recipe = small(load_recipe(name))
    system = build(recipe, spec)
    seen: dict[str, float] = {}
    for step in range(getattr(recipe.system, "discriminator_steps", 1) + 2):
        images = torch.randint(0, 256, (8, spec.channels, spec.height, spec.width), dtype=torch.uint8)
        metrics = system.step(images, torch.randint(0, spec.classes, (8,)), step, 1.0)
        seen |= {name: value.item() for name, value in metrics.items()}
    assert all(np.isfinite(value) for value in seen.values()), seen
    assert {"loss_generator", "loss_discriminator"} <= seen.keys()
    generator = system.averaged_generator(256)
    assert generator.conditional == recipe.conditional
    images = generator(torch.randn(3, generator.latent_dim), torch.zeros(3, dtype=torch.int64))
    assert images.shape == (3, spec.channels, spec.height, spec.width)
    assert images.abs().max().item() <= 1


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("kind", GENERATOR_KINDS)
def test_every_generator_runs_as_onnx(kind: str, conditional: bool, tmp_path: Path) -> None:
    spec = ImageSpec(28, 28, 1, 10) if conditional else ImageSpec(32, 32, 3, 1)
    fields = dict(override.split("=") for override in SMALL[kind] if "[" not in override)
    torch.manual_seed(0)
    generator = GENERATORS.parse({"kind": kind, "latent_dim": 6, **fields}).build(spec).eval()
    graph = ExportGraph(generator, conditional=generator.conditional)
    export_fp32(graph, tmp_path / "generator.onnx")
    latents, labels = latents_from_seeds(row_seeds(0, 12), 6), np.arange(12, dtype=np.int64) % spec.classes
    with torch.no_grad():
        expected = graph(torch.from_numpy(latents), torch.from_numpy(labels)).numpy()
    images = GraphSession(tmp_path / "generator.onnx")(latents, labels)
    assert images.shape == (12, spec.height, spec.width, spec.channels)
    assert compare(images, expected, "torch").max_abs <= 1
    check_in_subprocess([tmp_path / "generator.onnx"])


@pytest.mark.parametrize("spec", [*SPECS, ImageSpec(56, 56, 3, 4), ImageSpec(64, 64, 1, 1)], ids=str)
def test_networks_of_every_kind_fit_each_other(spec: ImageSpec) -> None:
    labels = torch.tensor([0, spec.classes - 1, 0])
    for kind in GENERATOR_KINDS:
        generator = GENERATORS.parse({"kind": kind}).build(spec)
        images = generator(torch.randn(3, generator.latent_dim), labels)
        assert images.shape == (3, spec.channels, spec.height, spec.width), kind
    for kind in DISCRIMINATOR_KINDS:
        assert DISCRIMINATORS.parse({"kind": kind}).build(spec)(images, labels).shape == (3,), kind


@pytest.mark.parametrize("kind", GENERATOR_KINDS)
def test_the_label_matters_to_every_generator(kind: str) -> None:
    torch.manual_seed(0)
    generator = GENERATORS.parse({"kind": kind}).build(SPECS[0]).eval()
    latents = torch.randn(2, generator.latent_dim)
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.endswith(("scale", "shift")):
                parameter.add_(torch.randn_like(parameter) * 0.3)
        assert not torch.allclose(generator(latents, torch.tensor([3, 3])), generator(latents, torch.tensor([4, 4])))


@pytest.mark.parametrize("kind", DISCRIMINATOR_KINDS)
def test_the_label_matters_to_every_discriminator(kind: str) -> None:
    torch.manual_seed(0)
    discriminator = DISCRIMINATORS.parse({"kind": kind}).build(SPECS[0]).eval()
    images = torch.randn(2, 1, 8, 8)
    assert not torch.allclose(discriminator(images, torch.tensor([3, 3])), discriminator(images, torch.tensor([4, 4])))


@pytest.mark.parametrize(("side", "expected"), [(8, 2), (28, 2), (32, 2), (56, 3), (64, 3), (128, 4)])
def test_doublings_of_the_dcgan(side: int, expected: int) -> None:
    assert dcgan_doublings(ImageSpec(side, side, 1, 1)) == expected


@pytest.mark.parametrize(("height", "width", "factor"), [(30, 28, 4), (27, 45, 8), (60, 64, 8)])
def test_sizes_the_dcgan_cannot_reach_are_named(height: int, width: int, factor: int) -> None:
    message = f"images of {width}×{height} pixels; sides must be multiples of {factor} here"
    with pytest.raises(DataError, match=message):
        DcganGeneratorConfig().build(ImageSpec(height, width, 1, 1))


def test_the_dcgan_has_the_paper_s_shape_at_28() -> None:
    generator = DcganGeneratorConfig().build(ImageSpec(28, 28, 1, 1))
    shapes = [tuple(weight.shape[:2]) for name, weight in generator.convs.named_parameters() if "weight" in name]
    assert (generator._start, shapes) == ((256, 7, 7), [(256, 128), (128, 64), (64, 1)])


def test_the_sigmoid_is_stretched_to_the_range_of_every_generator() -> None:
    spec = ImageSpec(2, 2, 1, 1)
    generator = MlpGeneratorConfig(output="sigmoid").build(spec)
    last = generator.layers[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.zero_()
        last.bias.copy_(torch.tensor([-50.0, 50.0, 0.0, np.log(3)]))
    pixels = generator(torch.zeros(1, 100), torch.zeros(1, dtype=torch.int64))
    assert pixels.flatten().tolist() == pytest.approx([-1, 1, 0, 0.5], abs=1e-6)
