"""Budget, learning rate, averaging: the numbers that depend on how far a run has come."""

import pytest
import torch
from torch import nn

from trainer.budget import BudgetConfig
from trainer.data import ImageSpec
from trainer.ema import EmaConfig, update_average, with_statistics
from trainer.networks.upsampling_generator import UpsamplingGeneratorConfig
from trainer.optimizers import AdamConfig, LearningRateConfig


def test_the_nearer_limit_counts() -> None:
    both = BudgetConfig(images=1000, max_minutes=1)
    assert both.progress(500, 6) == pytest.approx(0.5)
    assert both.progress(100, 45) == pytest.approx(0.75)
    assert BudgetConfig(images=1000).progress(1000, 1e9) == 1
    assert BudgetConfig(max_minutes=0.5).progress(10**9, 15) == pytest.approx(0.5)


@pytest.mark.parametrize(("progress", "factor"), [(0, 1), (0.5, 1), (0.75, 0.525), (1, 0.05), (1.2, 0.05)])
def test_rate_is_constant_then_linear(progress: float, factor: float) -> None:
    assert LearningRateConfig(constant=0.5, last=0.05).factor(progress) == pytest.approx(factor)


def test_rate_may_stay_constant_to_the_end() -> None:
    assert LearningRateConfig(constant=1.0).factor(1.5) == 1


def test_rate_reaches_the_optimizer() -> None:
    config = AdamConfig(learning_rate=0.01)
    optimizer = config.build([nn.Parameter(torch.zeros(2))])
    config.set_rate(optimizer, 0.25)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0025)


def test_decay_warms_up() -> None:
    config = EmaConfig(decay=0.999)
    assert config.decay_at(0) == pytest.approx(0.1)
    assert config.decay_at(90) == pytest.approx(0.91)
    assert config.decay_at(10**6) == 0.999


def test_average_moves_by_one_minus_decay() -> None:
    average, current = nn.Linear(1, 1), nn.Linear(1, 1)
    with torch.no_grad():
        for parameter, value in ((average.weight, 1.0), (current.weight, 3.0)):
            parameter.fill_(value)
    update_average(average, current, 0.75)
    assert average.weight.item() == pytest.approx(1.5)
    assert current.weight.item() == 3


def test_statistics_are_those_of_generated_images_and_leave_the_random_state_alone() -> None:
    generator = UpsamplingGeneratorConfig(latent_dim=4, width=8, min_width=8).build(ImageSpec(8, 8, 1, 2))
    for buffer in generator.buffers():
        buffer.fill_(7)
    before = torch.get_rng_state()
    settled = with_statistics(generator, classes=2, images=1000)
    assert torch.equal(torch.get_rng_state(), before)
    latents, labels = torch.randn(4000, 4), torch.randint(0, 2, (4000,))
    with torch.no_grad():
        start = generator.linear(torch.cat([latents, generator.embed(labels)], 1)).unflatten(1, (8, 4, 4))
    first = next(module for module in settled.modules() if isinstance(module, nn.BatchNorm2d))
    assert first.running_mean is not None
    torch.testing.assert_close(first.running_mean, start.mean((0, 2, 3)), atol=0.05, rtol=0)
    assert not settled.training
    assert all((buffer == 7).all() for buffer in generator.buffers())
