"""Batches in parts: the same step in less memory."""

import pytest
import torch
from torch import Tensor

from tests.unit.trainer.runs import tiny_recipe
from tests.unit.trainer.systems.test_adversarial import build, steps
from trainer.errors import ConfigError

PLAIN = (
    "generator={kind: mlp, latent_dim: 6, hidden: [32, 32]}",
    "discriminator={kind: mlp, hidden: [32]}",
    "generator_optimizer={kind: sgd, learning_rate: 0.1}",
    "discriminator_optimizer={kind: sgd, learning_rate: 0.1}",
    "augmentations={}",
    "device.precision=fp32",
)
"""Networks without batch normalization; plain descent, which shows gradients as they are."""


def weights(*options: str) -> dict[str, Tensor]:
    """Both networks after three steps."""
    system = build(tiny_recipe(*PLAIN, *options))
    steps(system, 3)
    return {
        f"{network}.{name}": value
        for network in ("generator", "discriminator")
        for name, value in system.state_dict()[network].items()
    }


@pytest.mark.parametrize("accumulate", [2, 16])
@pytest.mark.parametrize(
    "options",
    [
        ("regularizers={r1: {every: 1}, r2: {every: 2}}",),
        ("objective={kind: relativistic-pairing}", "regularizers={l2: {weight: 0.1}, weight-clipping: {limit: 0.2}}"),
        ("objective={kind: wasserstein}", "system.discriminator_steps=2", "regularizers={l1: {of: both}}"),
    ],
    ids=str,
)
def test_parts_step_as_the_whole_batch_does(options: tuple[str, ...], accumulate: int) -> None:
    whole, parts = weights(*options), weights(*options, f"training.accumulate={accumulate}")
    untrained = build(tiny_recipe(*PLAIN, *options)).state_dict()
    assert not torch.equal(whole["generator.layers.0.weight"], untrained["generator"]["layers.0.weight"])
    for name, value in whole.items():
        assert torch.allclose(value, parts[name], rtol=0, atol=1e-5), name


def test_metrics_are_means_over_the_parts() -> None:
    (whole,), (parts,) = (
        steps(build(tiny_recipe(*PLAIN, f"training.accumulate={accumulate}")), 1) for accumulate in (1, 4)
    )
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        assert parts[name].item() == pytest.approx(value.item(), abs=1e-5), name


def test_a_part_is_all_that_passes_at_once() -> None:
    system = build(tiny_recipe("training.accumulate=8"))
    seen: set[int] = set()
    for network in ("generator", "discriminator"):
        system._modules[network].register_forward_pre_hook(lambda _, inputs: seen.add(len(inputs[0])))
    steps(system, 1)
    assert seen == {2, 4}  # generated images; real ones beside them


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("objective={kind: softmax}", "objective 'softmax' needs all images of a batch at once"),
        ("objective={kind: gat, base: {kind: softmax}}", "objective 'gat' needs"),
        ("regularizers={consensus: {}}", "regularizer 'consensus' needs"),
        ("system.packing=2", "system.packing=2 needs"),
        ("system={kind: vae-gan}", "system 'vae-gan' needs"),
        ("training.batch_size=15", "2 equal parts of 15 images do not exist"),
    ],
)
def test_what_cannot_be_split_is_refused(option: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        tiny_recipe(option, "training.accumulate=2")
