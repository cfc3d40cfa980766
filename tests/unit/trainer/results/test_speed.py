import pytest
import torch

from trainer.device import make_fabric
from trainer.results.speed import PAIRS, Pair, measure
from trainer.training import resolve


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair.recipe)
def test_the_plain_networks_have_as_many_weights(pair: Pair) -> None:
    recipe = resolve(pair.recipe, pair.overrides)
    system = recipe.system.build(recipe, pair.spec, make_fabric(recipe.device, pair.spec))
    ours, plain = system.state_dict(), pair.plain(pair.spec)
    for player, module in (("generator", plain.generator), ("discriminator", plain.discriminator)):
        weights = [value for name, value in ours[player].items() if value.is_floating_point() and "running" not in name]
        theirs = [
            value for name, value in module.state_dict().items() if value.is_floating_point() and "running" not in name
        ]
        assert sum(map(torch.numel, weights)) == sum(map(torch.numel, theirs))


def test_both_steps_are_timed() -> None:
    found = measure(PAIRS[0], rounds=1, batch=4)
    assert found.ours > 0
    assert found.plain > 0
    assert found.ratio == pytest.approx(found.plain / found.ours)
