"""Every optimizer of the registry: rates, descent, resume."""

import copy

import pytest
import torch
from torch import nn

from trainer.optimizers import OPTIMIZERS
from trainer.optimizers.rmsprop import RmspropConfig
from trainer.optimizers.sgd import SgdConfig


@pytest.mark.parametrize("kind", OPTIMIZERS.kinds())
def test_each_descends_and_resumes_exactly(kind: str) -> None:
    config = OPTIMIZERS.parse({"kind": kind, "learning_rate": 0.01})

    def descend(parameter: nn.Parameter, optimizer: torch.optim.Optimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            parameter.square().sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    whole, first = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3))
    descend(whole, config.build([whole]), 20)
    assert whole.square().sum().item() < 3
    optimizer = config.build([first])
    descend(first, optimizer, 10)
    second = nn.Parameter(first.detach().clone())
    resumed = config.build([second])
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    descend(second, resumed, 10)
    assert torch.equal(whole, second)


@pytest.mark.parametrize("kind", OPTIMIZERS.kinds())
def test_the_rate_follows_the_schedule(kind: str) -> None:
    config = OPTIMIZERS.parse({"kind": kind, "learning_rate": 0.01})
    optimizer = config.build([nn.Parameter(torch.ones(3))])
    config.set_rate(optimizer, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.0025]


def test_sgd_takes_steps_by_hand() -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = SgdConfig(learning_rate=0.1, momentum=0.5).build([parameter])
    for _ in range(2):  # moves 0.1 · 2, then 0.1 · (2 + ½ · 2)
        parameter.grad = torch.tensor([2.0])
        optimizer.step()
    assert parameter.item() == pytest.approx(0.5, abs=1e-6)


def test_rmsprop_divides_by_the_root_mean_square() -> None:
    parameter = nn.Parameter(torch.tensor([1.0]))
    optimizer = RmspropConfig(learning_rate=0.1, decay=0.75).build([parameter])
    parameter.grad = torch.tensor([2.0])
    optimizer.step()  # mean square ¼ · 4 = 1
    assert parameter.item() == pytest.approx(0.8, abs=1e-6)
