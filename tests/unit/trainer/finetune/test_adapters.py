"""Adapters change nothing at first, little afterwards, and leave no trace when they are merged."""

from typing import Any

import pytest
import torch
from torch import nn

from trainer.data import ImageSpec
from trainer.errors import ConfigError
from trainer.finetune.adapters import Adapter, LowRank, adapt, merged
from trainer.networks import GENERATORS
from trainer.networks.base import Generator

SPEC = ImageSpec(28, 28, 1, 3)
KINDS = ["upsampling", "dcgan", "resnet", "mlp"]


def build(kind: str, **fields: Any) -> Generator:
    torch.manual_seed(0)
    generator: Generator = GENERATORS.parse({"kind": kind, **fields}).build(SPEC)
    return generator


def inputs(generator: Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(6, generator.latent_dim), torch.arange(6) % 3


def train_a_little(generator: Generator) -> set[str]:
    """Three steps; the names of what has moved."""
    before = {name: value.clone() for name, value in generator.named_parameters()}
    optimizer = torch.optim.Adam(generator.parameters(), 1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        generator(*inputs(generator)).square().mean().backward()
        optimizer.step()
    return {name for name, value in generator.named_parameters() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("kind", KINDS)
def test_a_low_rank_adapter_begins_as_nothing_and_is_merged_without_a_trace(kind: str) -> None:
    plain, adapted = build(kind).eval(), build(kind)
    adapt(adapted, "low-rank", 4)
    given = inputs(plain)
    with torch.no_grad():
        assert torch.equal(adapted.eval()(*given), plain(*given))
    moved = train_a_little(adapted.train())
    assert any(name.endswith("weight.0.up") for name in moved)
    assert not any(name.endswith("weight.original") for name in moved)
    result = merged(adapted.eval())
    assert result.state_dict().keys() == plain.state_dict().keys()
    with torch.no_grad():
        drawn = adapted(*given)
        assert torch.allclose(result(*given), drawn, atol=1e-5)
        assert not torch.allclose(plain(*given), drawn, atol=1e-3)


def test_the_difference_has_the_rank() -> None:
    weight = torch.randn(12, 5, 3, 3)
    adapter = LowRank(weight, 2)
    nn.init.normal_(adapter.up)
    difference = (adapter(weight) - weight).flatten(1)
    assert int(torch.linalg.matrix_rank(difference, atol=1e-4)) == 2
    assert sum(parameter.numel() for parameter in adapter.parameters()) == 2 * (12 + 45)


def test_a_rank_above_the_matrix_is_that_of_the_matrix() -> None:
    assert LowRank(torch.randn(3, 10), 200).down.shape == (3, 10)


@pytest.mark.parametrize("kind", ["upsampling", "dcgan", "resnet"])
def test_a_norm_adapter_moves_norms_and_classes_alone(kind: str) -> None:
    generator = build(kind)
    adapt(generator, "norm", 1)
    moved = train_a_little(generator)
    assert moved
    assert all(name.endswith((".scale", ".shift")) or name.startswith("embed.") for name in moved)


def test_no_adapter_leaves_everything_to_be_trained() -> None:
    generator = build("upsampling")
    adapt(generator, "none", 1)
    assert len(train_a_little(generator)) == len(list(generator.parameters()))


def test_a_generator_without_norms_and_classes_refuses_their_adapter() -> None:
    generator = GENERATORS.parse({"kind": "mlp"}).build(ImageSpec(8, 8, 1, 1))
    chosen: Adapter = "norm"
    with pytest.raises(ConfigError, match="neither norms nor classes; low-rank and none are allowed"):
        adapt(generator, chosen, 1)
