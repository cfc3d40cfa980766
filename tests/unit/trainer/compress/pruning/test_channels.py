"""Channels that do nothing can go without a trace; others go by what they weigh."""

import pytest
import torch

from tests.unit.trainer.compress.generators import KINDS, Kind
from trainer.compress.pruning.channels import channel_importance, fill_narrow, select
from trainer.networks.base import Generator
from trainer.networks.channels import Axis, ChannelGroup, fewer


def silenced(kind: Kind) -> Generator:
    """A generator in which half of the channels of every group, spread at random, do nothing: what makes them, scales
    and shifts them is zero."""
    generator = kind.build()
    state = generator.state_dict()
    random = torch.Generator().manual_seed(1)
    for group in generator.channel_groups():
        dead = torch.randperm(group.size, generator=random)[: group.size // 2]
        tables = [axis for axis in group.others if axis.tensor.endswith((".scale", ".shift", ".weight", ".bias"))]
        norms = tuple(scale.removesuffix("scale").removesuffix("weight") for scale in group.scales)
        own = [axis for axis in tables if norms and axis.tensor.startswith(norms)]
        gates = [axis for axis in group.others if axis.tensor.startswith(("lstm.bias", "start."))]
        for axis in (*group.makers, *own, *gates):
            moved = state[axis.tensor].movedim(axis.dim, 0)
            moved.view(-1, group.size, axis.block, *moved.shape[1:])[:, dead] = 0
    generator.load_state_dict(state)
    return generator.eval()


@pytest.mark.parametrize("criterion", ["scale", "norm"])
@pytest.mark.parametrize("name", KINDS)
def test_half_of_the_channels_go_without_a_trace_where_they_did_nothing(name: str, criterion: str) -> None:
    kind = KINDS[name]
    wide = silenced(kind)
    narrowed = kind.config.narrowed(0.5)
    assert narrowed is not None
    narrow = narrowed.build(kind.spec).eval()
    fill_narrow(narrow, wide, criterion)  # type: ignore[arg-type]
    latents = torch.randn(6, wide.latent_dim, generator=torch.Generator().manual_seed(2))
    labels = torch.arange(6) % kind.spec.classes
    with torch.no_grad():
        expected, found = wide(latents, labels), narrow(latents, labels)
    assert expected.std() > 0.02, "a flat image would agree with anything"
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
    sizes = [sum(weights.numel() for weights in each.parameters()) for each in (narrow, wide)]
    assert sizes[0] < 0.65 * sizes[1]


@pytest.mark.parametrize("keep", [0.9, 0.7, 0.3, 0.01])
@pytest.mark.parametrize("name", KINDS)
def test_any_share_makes_a_generator_that_runs(name: str, keep: float) -> None:
    kind = KINDS[name]
    narrowed = kind.config.narrowed(keep)
    assert narrowed is not None
    type(narrowed).model_validate(narrowed.model_dump())
    wide, narrow = kind.build(), narrowed.build(kind.spec).eval()
    fill_narrow(narrow, wide, "scale")
    latents, labels = torch.randn(2, wide.latent_dim), torch.zeros(2, dtype=torch.int64)
    with torch.no_grad():
        assert narrow(latents, labels).shape == wide(latents, labels).shape
    for before, after in zip(wide.channel_groups(), narrow.channel_groups(), strict=True):
        assert 4 <= after.size <= before.size


def test_scale_and_norm_decide_which_stay() -> None:
    state = {
        "layer.weight": torch.tensor([[3.0, 4.0], [0.0, 1.0], [2.0, 0.0]]),
        "layer.bias": torch.tensor([0.0, 0.0, 0.0]),
        "norm.scale": torch.tensor([[0.1, -2.0, 0.5], [0.1, 2.0, -0.7]]),
    }
    group = ChannelGroup(3, (Axis("layer.weight", 0), Axis("layer.bias", 0)), ("norm.scale",))
    torch.testing.assert_close(channel_importance(state, group, "norm"), torch.tensor([5.0, 1.0, 2.0]))
    assert channel_importance(state, group, "scale").argsort(descending=True).tolist() == [1, 2, 0]
    without = ChannelGroup(3, group.makers)
    torch.testing.assert_close(channel_importance(state, without, "scale"), torch.tensor([5.0, 1.0, 2.0]))


def test_blocks_and_repeats_of_a_channel_go_together() -> None:
    tensor = torch.arange(12).reshape(12, 1)  # two repeats of three channels with two places each
    kept = select(tensor, Axis("t", 0, block=2), 3, torch.tensor([0, 2])).flatten().tolist()
    assert kept == [0, 1, 4, 5, 6, 7, 10, 11]
    assert select(tensor.T, Axis("t", 1, block=2), 3, torch.tensor([1])).tolist() == [[2, 3, 8, 9]]


@pytest.mark.parametrize(
    ("width", "keep", "expected"), [(128, 0.5, 64), (32, 0.7, 24), (8, 0.1, 4), (6, 0.9, 4), (4, 0.5, 4)]
)
def test_widths_are_multiples_of_four(width: int, keep: float, expected: int) -> None:
    assert fewer(width, keep) == expected
