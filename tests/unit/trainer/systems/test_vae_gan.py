"""The VAE-GAN: closed forms of its losses, who learns from what, and that it goes on exactly."""

import copy

import pytest
import torch
from torch import Tensor

from trainer.config import apply_overrides
from trainer.data import DataSplit, open_data
from trainer.device import make_fabric
from trainer.recipe import Recipe, load_recipe
from trainer.systems.vae_gan import VaeGanConfig, VaeGanSystem, feature_error, prior_divergence

SMALL = (
    "device.precision=fp32",
    "device.threads=1",
    "training.batch_size=8",
    "data.moving.sequences=20",
    "data.moving.frames=4",
)


def build(name: str, *overrides: str) -> tuple[Recipe, DataSplit, VaeGanSystem]:
    wanted = SMALL if name == "rvae-gan" else SMALL[:3]
    recipe = apply_overrides(load_recipe(name), (*wanted, *overrides))
    data = open_data(recipe.data)
    fabric = make_fabric(recipe.device, data.train.spec)
    fabric.seed_everything(0, verbose=False)
    system = recipe.system.build(recipe, data.train.spec, fabric)
    assert isinstance(system, VaeGanSystem)
    return recipe, data, system


def batch(data: DataSplit) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(data.train.images[:8]).movedim(-1, -3)
    return images, torch.from_numpy(data.train.labels[:8])


def test_divergence_is_zero_at_the_prior_and_half_the_squared_mean_beside_it() -> None:
    zeros = torch.zeros(4, 3)
    assert prior_divergence((zeros, zeros)) == 0
    assert prior_divergence((zeros + 2, zeros)).item() == pytest.approx(3 * 2.0)
    variance = torch.full((4, 3), 4.0)
    expected = 3 * 0.5 * (4 - 1 - torch.log(torch.tensor(4.0)))
    assert prior_divergence((zeros, variance.log())).item() == pytest.approx(expected.item(), abs=1e-6)


def test_feature_error_is_half_the_squared_distance_in_units_of_the_variance() -> None:
    reference = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])  # variance 2 over the batch
    assert feature_error(reference, reference) == 0
    assert feature_error(reference + 1, reference).item() == pytest.approx(0.5 * 2 / 2)
    assert feature_error(10 * reference + 10, 10 * reference).item() == pytest.approx(0.5 * 2 / 2)


def test_the_prior_warms_up() -> None:
    config = VaeGanConfig(prior=2.0, warm_up_steps=9)
    assert [config.prior_at(step) for step in (0, 4, 9, 1000)] == pytest.approx([0.2, 1.0, 2.0, 2.0])


@pytest.mark.parametrize("name", ["vae-gan", "rvae-gan"])
def test_every_network_learns(name: str) -> None:
    _, data, system = build(name)
    before = copy.deepcopy(system.state_dict())
    metrics = system.step(*batch(data), 0, 1.0)
    assert all(torch.isfinite(value) for value in metrics.values())
    for network in ("generator", "encoder", "discriminator", "generator_ema", "encoder_ema"):
        changed = [not torch.equal(before[network][key], value) for key, value in system.state_dict()[network].items()]
        assert sum(changed) > len(changed) / 2, network


def test_without_a_reconstruction_the_encoder_learns_nothing() -> None:
    _, data, system = build("vae-gan", "system.similarity=1e-30", "generator_optimizer.kind=sgd")
    before = copy.deepcopy(system.state_dict()["encoder"])
    system.step(*batch(data), 0, 1.0)
    assert all(torch.equal(before[key], value) for key, value in system.state_dict()["encoder"].items())


@pytest.mark.parametrize("name", ["vae-gan", "rvae-gan"])
def test_it_goes_on_exactly_from_its_state(name: str) -> None:
    _, data, first = build(name)
    first.step(*batch(data), 0, 1.0)
    saved, random = copy.deepcopy(first.state_dict()), torch.get_rng_state()
    first.step(*batch(data), 1, 1.0)
    _, _, second = build(name)
    second.load_state_dict(saved)
    torch.set_rng_state(random)
    second.step(*batch(data), 1, 1.0)
    for network in ("generator", "encoder", "discriminator", "generator_ema", "encoder_ema"):
        for key, value in first.state_dict()[network].items():
            assert torch.equal(value, second.state_dict()[network][key]), (network, key)


def test_reconstructions_beat_the_mean_image_after_a_short_training() -> None:
    _, data, system = build("vae-gan", "training.batch_size=32", "system.warm_up_steps=100")
    images = torch.from_numpy(data.train.images).movedim(-1, -3)
    order = torch.Generator().manual_seed(0)
    for step in range(250):
        chosen = torch.randint(0, len(images), (32,), generator=order)
        system.step(images[chosen], torch.zeros(32, dtype=torch.int64), step, 1.0)
    unseen = torch.from_numpy(data.held_out.images).movedim(-1, -3).float() / 127.5 - 1
    with torch.no_grad():
        mean, _ = system.averaged_encoder()(unseen)
        found = system.averaged_generator(512)(mean, torch.zeros(len(mean), dtype=torch.int64))
    error = (found - unseen).square().mean()
    of_mean_image = (images.float().mean(0) / 127.5 - 1 - unseen).square().mean()
    assert error < 0.5 * of_mean_image
