"""Regularizers that change the discriminator itself: spectral norm and DropConnect."""

import copy

import pytest
import torch
from torch import nn

from trainer.data.images import ImageSpec
from trainer.networks.projection_discriminator import ProjectionDiscriminatorConfig
from trainer.regularizers.drop_connect import DropConnectConfig, DroppedWeights
from trainer.regularizers.spectral_norm import DividedByNorm, SpectralNormConfig

SPEC = ImageSpec(8, 8, 1, 10)


def discriminator() -> nn.Module:
    """A small one with convolutions, linear layers and an embedding."""
    torch.manual_seed(0)
    return ProjectionDiscriminatorConfig(width=8, min_width=8, features=8).build(SPEC)


def test_the_known_norm_divides() -> None:
    weight = torch.diag(torch.tensor([3.0, 1.0, 0.5]))
    normalized = DividedByNorm(weight, iterations=1)(weight)
    assert torch.allclose(normalized, weight / 3, rtol=0, atol=1e-5)


def test_every_weight_has_norm_one_and_follows_its_training() -> None:
    module = discriminator()
    SpectralNormConfig(iterations=5).prepare(module)
    inputs = torch.randn(4, 1, 8, 8), torch.arange(4)
    optimizer = torch.optim.SGD(module.parameters(), 0.003)
    for _ in range(20):
        optimizer.zero_grad()
        module(*inputs).sum().backward()
        optimizer.step()
    module.eval()
    normalized = [part for part in module.modules() if isinstance(part, nn.Linear | nn.Conv2d | nn.Embedding)]
    assert len(normalized) == 5
    for part in normalized:
        norm = torch.linalg.matrix_norm(part.weight.detach().flatten(1), 2).item()
        assert norm == pytest.approx(1.0, abs=0.05), part


def test_the_power_method_s_vectors_are_saved() -> None:
    first, second = discriminator(), discriminator()
    SpectralNormConfig().prepare(first)
    SpectralNormConfig().prepare(second)
    inputs = torch.randn(4, 1, 8, 8), torch.arange(4)
    first(*inputs)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(*inputs), second(*inputs))


def test_evaluation_leaves_the_vectors_alone() -> None:
    module = discriminator()
    SpectralNormConfig().prepare(module)
    before = copy.deepcopy(module.state_dict())
    module.eval()(torch.randn(4, 1, 8, 8), torch.arange(4))
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_dropped_weights_are_zero_and_the_others_grow() -> None:
    torch.manual_seed(0)
    dropped = DroppedWeights(0.25)(torch.ones(100, 100))
    assert dropped.unique().tolist() == pytest.approx([0.0, 4 / 3], abs=1e-6)
    assert (dropped == 0).float().mean().item() == pytest.approx(0.25, abs=0.02)


def test_weights_are_whole_outside_training() -> None:
    weight = torch.randn(4, 4)
    assert torch.equal(DroppedWeights(0.5).eval()(weight), weight)


def test_a_discriminator_drops_other_weights_at_each_pass() -> None:
    module = discriminator()
    DropConnectConfig(rate=0.5).prepare(module)
    inputs = torch.randn(4, 1, 8, 8), torch.arange(4)
    assert not torch.equal(module(*inputs), module(*inputs))
    module.eval()
    assert torch.equal(module(*inputs), module(*inputs))


def test_both_at_once() -> None:
    module = discriminator()
    SpectralNormConfig().prepare(module)
    DropConnectConfig().prepare(module)
    assert torch.isfinite(module(torch.randn(4, 1, 8, 8), torch.arange(4))).all()
