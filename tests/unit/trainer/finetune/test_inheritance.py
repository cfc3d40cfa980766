"""Weights handed down to networks with other classes."""

import pytest
import torch
from torch import nn

from trainer.data import ImageSpec
from trainer.errors import ConfigError
from trainer.finetune.inheritance import class_tables, inherit
from trainer.networks import DISCRIMINATORS, GENERATORS
from trainer.regularizers.spectral_norm import SpectralNormConfig

SPEC = ImageSpec(28, 28, 1, 4)
SOURCES = (3, 0, 0, 1, 2)
WIDER = ImageSpec(28, 28, 1, len(SOURCES))
LABELS = torch.arange(len(SOURCES))
THEIRS = torch.tensor(SOURCES)


@pytest.mark.parametrize("kind", [kind for kind in GENERATORS.kinds() if kind != "lstm"])
def test_a_generator_draws_each_class_as_the_one_it_began_with(kind: str) -> None:
    config = GENERATORS.parse({"kind": kind})
    parent, child = config.build(SPEC).eval(), config.build(WIDER).eval()
    for parameter in parent.parameters():  # norms begin alike for all classes
        nn.init.normal_(parameter, std=0.1)
    inherit(child, parent.state_dict(), SOURCES, "PACKAGE a@1")
    latents = torch.randn(len(SOURCES), parent.latent_dim)
    with torch.no_grad():
        assert torch.allclose(child(latents, LABELS), parent(latents, THEIRS), atol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in DISCRIMINATORS.kinds() if kind != "sequence"])
def test_a_discriminator_judges_each_class_as_the_one_it_began_with(kind: str) -> None:
    config = DISCRIMINATORS.parse({"kind": kind})
    parent, child = config.build(SPEC).eval(), config.build(WIDER).eval()
    inherit(child, parent.state_dict(), SOURCES, "PACKAGE a@1")
    images = torch.randn(len(SOURCES), 1, 28, 28)
    with torch.no_grad():
        assert torch.allclose(child(images, LABELS), parent(images, THEIRS), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [kind for kind in DISCRIMINATORS.kinds() if kind != "sequence"])
def test_what_a_spectral_norm_follows_goes_with_the_rows(kind: str) -> None:
    order = (3, 0, 1, 2)  # repeated rows would have another norm
    parent, child = (DISCRIMINATORS.parse({"kind": kind}).build(SPEC) for _ in range(2))
    for network in (parent, child):
        SpectralNormConfig().prepare(network)
    inherit(child, parent.state_dict(), order, "PACKAGE a@1")
    images = torch.randn(len(order), 1, 28, 28)
    with torch.no_grad():
        ours = child.eval()(images, torch.arange(len(order)))
        assert torch.allclose(ours, parent.eval()(images, torch.tensor(order)), rtol=1e-4, atol=1e-4)


def test_tables_are_what_has_a_row_per_class() -> None:
    generator = GENERATORS.parse({"kind": "upsampling"}).build(SPEC)
    state = generator.state_dict()
    tables = class_tables(generator)
    assert {"embed.weight", "norms.0.scale", "norms.0.shift"} <= tables
    assert all(len(state[name]) == SPEC.classes for name in tables)
    assert "linear.weight" not in tables
    assert not any("running" in name for name in tables)


def test_other_networks_are_refused() -> None:
    config = GENERATORS.parse({"kind": "upsampling"})
    other = GENERATORS.parse({"kind": "upsampling", "width": 64})
    with pytest.raises(ConfigError, match=r"PACKAGE a@1: its weights are not those of its recipe: .*size mismatch"):
        inherit(config.build(SPEC), other.build(SPEC).state_dict(), range(4), "PACKAGE a@1")
