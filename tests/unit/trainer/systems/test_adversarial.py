"""The adversarial system: who moves when, what is packed, and that every option trains."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.trainer.runs import tiny_recipe
from trainer.data.images import ImageSpec
from trainer.device import make_fabric
from trainer.recipe import Recipe
from trainer.systems.adversarial import AdversarialSystem
from trainer.systems.base import Metrics

SPEC = ImageSpec(8, 8, 1, 10)


def build(recipe: Recipe, spec: ImageSpec = SPEC) -> AdversarialSystem:
    """The recipe's system, seeded."""
    fabric = make_fabric(recipe.device, spec)
    fabric.seed_everything(0, verbose=False)
    system = recipe.system.build(recipe, spec, fabric)
    assert isinstance(system, AdversarialSystem)
    return system


def steps(system: AdversarialSystem, count: int, first: int = 0) -> list[Metrics]:
    """Metrics of steps on random images, the same for the same step."""
    found = []
    for step in range(first, first + count):
        random = torch.Generator().manual_seed(step)
        images = torch.randint(0, 256, (16, 1, 8, 8), generator=random, dtype=torch.uint8)
        found.append(system.step(images, torch.randint(0, 10, (16,), generator=random), step, 1.0))
    return found


def parameters(system: AdversarialSystem, part: str) -> Tensor:
    """All numbers of one network."""
    return torch.cat([tensor.flatten().float() for tensor in system.state_dict()[part].values()]).clone()


def test_the_generator_moves_at_every_nth_step() -> None:
    system = build(tiny_recipe("system.discriminator_steps=3"))
    moved = []
    for step in range(6):
        before = system.state_dict()["generator"]["linear.weight"].clone()
        (metrics,) = steps(system, 1, step)
        moved.append(not torch.equal(before, system.state_dict()["generator"]["linear.weight"]))
        assert ("loss_generator" in metrics) == moved[-1]
    assert moved == [False, False, True, False, False, True]


def test_packs_hold_neighbours_of_one_class() -> None:
    system = build(tiny_recipe("system.packing=2"))
    images = torch.arange(5.0)[:, None, None, None].expand(5, 3, 2, 2)
    packed, labels = system._pack(images, torch.tensor([4, 4, 7, 7, 9]))
    assert packed.shape == (2, 6, 2, 2)
    assert packed[:, :, 0, 0].tolist() == [[0, 0, 0, 1, 1, 1], [2, 2, 2, 3, 3, 3]]
    assert labels.tolist() == [4, 7]


def test_unlabelled_networks_take_no_notice_of_labels() -> None:
    system = build(tiny_recipe(), ImageSpec(8, 8, 1, 1))
    assert torch.isfinite(steps(system, 1)[0]["loss_generator"])


@pytest.mark.parametrize(
    "options",
    [
        ["system={kind: adversarial, packing: 2}"],
        ["system={kind: adversarial, packing: 3, discriminator_steps: 2}", "regularizers={r1: {}, r2: {}}"],
        ["objective={kind: relativistic-pairing}", "regularizers={r1: {gamma: 1, last_gamma: 0.1}, r2: {}}"],
        ["objective={kind: wasserstein}", "regularizers={gradient-penalty: {}}", "system.packing=2"],
        ["objective={kind: wasserstein}", "regularizers={weight-clipping: {}}"],
        ["objective={kind: softmax}"],
        ["objective={kind: gat, base: {kind: hinge}, weight: 0.5}", "regularizers={consensus: {}}"],
        ["regularizers={l1: {}, l2: {of: generator}, drop-connect: {}, spectral-norm: {}, r1: {}}"],
    ],
    ids=str,
)
def test_options_train_and_resume_exactly(options: list[str]) -> None:
    recipe = tiny_recipe(*options)
    whole = build(recipe)
    metrics = steps(whole, 4)
    assert all(torch.isfinite(value) for step in metrics for value in step.values())
    first, second = build(recipe), build(recipe)
    steps(first, 2)
    random: Any = torch.get_rng_state()
    second.load_state_dict(first.state_dict())
    torch.set_rng_state(random)
    steps(second, 2, first=2)
    for part in ("generator", "discriminator", "generator_ema"):
        assert torch.equal(parameters(whole, part), parameters(second, part)), part


def test_clipped_weights_stay_within_their_box() -> None:
    system = build(tiny_recipe("regularizers={weight-clipping: {limit: 0.02}}"))
    steps(system, 2)
    assert parameters(system, "discriminator").abs().max().item() <= 0.02


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_weight_terms_shrink_both_networks(kind: str) -> None:
    plain, drawn = build(tiny_recipe("regularizers={}")), build(tiny_recipe(f"regularizers={{{kind}: {{weight: 10}}}}"))
    metrics = [steps(system, 5)[-1] for system in (plain, drawn)]
    assert {f"penalty_generator_{kind}", f"penalty_discriminator_{kind}"} <= metrics[1].keys()
    for part in ("generator", "discriminator"):
        assert parameters(drawn, part).square().sum() < parameters(plain, part).square().sum()


def test_the_game_term_reaches_both_players() -> None:
    metrics = steps(build(tiny_recipe("regularizers={consensus: {gamma: 0.5}}")), 1)[0]
    assert metrics["penalty_generator_consensus"] > 0
    assert metrics["penalty_discriminator_consensus"] > 0
