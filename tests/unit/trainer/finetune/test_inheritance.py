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
@pytest.mark.parametrize("normalized", [False, True])
def test_a_discriminator_judges_each_class_as_the_one_it_began_with(kind: str, normalized: bool) -> None:
    config = DISCRIMINATORS.parse({"kind": kind})
    parent, child = config.build(SPEC), config.build(WIDER)
    if normalized:
        for network in (parent, child):
            SpectralNormConfig().prepare(network)
    inherit(child, parent.state_dict(), SOURCES, "PACKAGE a@1")
    images = torch.randn(len(SOURCES), 1, 28, 28)
    with torch.no_grad():
        ours, theirs = child.eval()(images, LABELS), parent.eval()(images, THEIRS)
    # A spectral norm divides by what it has followed; a table of other rows has another one.
    assert torch.allclose(ours, theirs, atol=0.2 if normalized else 1e-4)


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
