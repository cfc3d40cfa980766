"""FreezeD: layers near the image stay, layers near the answer learn."""

import pytest
import torch
from torch import nn

from trainer.data import ImageSpec
from trainer.finetune.freezing import freeze_input_side, layers_in_order
from trainer.networks import DISCRIMINATORS
from trainer.regularizers.spectral_norm import SpectralNormConfig

SPEC = ImageSpec(28, 28, 1, 4)


def build(kind: str) -> nn.Module:
    network: nn.Module = DISCRIMINATORS.parse({"kind": kind}).build(SPEC)
    return network


def frozen(network: nn.Module) -> set[str]:
    return {name for name, value in network.named_parameters() if not value.requires_grad}


def test_layers_come_in_the_order_in_which_an_image_meets_them() -> None:
    network = build("projection")
    names = {module: name for name, module in network.named_modules()}
    assert [names[layer] for layer in layers_in_order(network, SPEC)] == [
        "convs.0",
        "convs.1",
        "convs.2",
        "linear",
        "output",
    ]


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.4, 2), (0.6, 3), (0.9, 4)])
def test_the_input_side_is_frozen_and_never_the_answer(share: float, count: int) -> None:
    network = build("projection")
    assert freeze_input_side(network, SPEC, share) == count
    layers = ("convs.0", "convs.1", "convs.2", "linear", "output")[:count]
    assert frozen(network) == {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}


@pytest.mark.parametrize("kind", [kind for kind in DISCRIMINATORS.kinds() if kind != "sequence"])
@pytest.mark.parametrize("normalized", [False, True])
def test_every_discriminator_learns_with_a_frozen_side(kind: str, normalized: bool) -> None:
    network = build(kind)
    if normalized:
        SpectralNormConfig().prepare(network)
    assert freeze_input_side(network, SPEC, 0.5) > 0
    assert network.training
    still = frozen(network)
    assert still and not any("project" in name or "embed" in name for name in still)
    before = {name: value.clone() for name, value in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    network(torch.randn(8, 1, 28, 28), torch.arange(8) % 4).square().sum().backward()
    optimizer.step()
    assert {name for name, value in network.named_parameters() if torch.equal(value, before[name])} == still
