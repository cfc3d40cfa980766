"""The objective: real images score well, others do not, and both measures agree on which is which."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from trainer.data import DataConfig, DataSplit, LabelledImages, open_data
from trainer.errors import DataError
from trainer.evaluation.judge import Judge, JudgeNetwork
from trainer.networks.base import Generator
from trainer.search.objective import HeldOut, better


class Replay(Generator):
    """Draws from a set of images, at random but by the latents alone, with so much noise added."""

    conditional = True

    def __init__(self, images: LabelledImages, noise: float) -> None:
        super().__init__()
        self.latent_dim = 4
        self._scale = torch.nn.Parameter(torch.tensor(noise))
        self._images = torch.from_numpy(images.images).float().permute(0, 3, 1, 2) / 127.5 - 1

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Latents ``[n, 4]`` to images ``[n, 1, 8, 8]`` in −1 … 1."""
        rows = (latents[:, 0].abs() * 1e4).long() % len(self._images)
        texture = torch.sin(latents.sum(1)[:, None, None, None] * torch.arange(64).reshape(1, 1, 8, 8) * 7)
        return self._images[rows] + self._scale * texture


@pytest.fixture(scope="module")
def digits() -> DataSplit:
    """The built-in digits."""
    return open_data(DataConfig())


@pytest.fixture(scope="module")
def held_out(digits: DataSplit) -> HeldOut:
    """Compared in the features of an untrained judge, which tell noise from digits well enough."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return HeldOut(digits, Judge(JudgeNetwork(1, 8, 8, 10)))


def test_real_images_are_near_the_floor_and_noise_is_far_from_it(digits: DataSplit, held_out: HeldOut) -> None:
    same, noisy = (held_out.score(Replay(digits.train, noise).eval(), 0) for noise in (0.0, 1.0))
    real = held_out.real
    assert same.frechet == pytest.approx(real.frechet, rel=0.3)
    assert noisy.frechet > 5 * same.frechet
    assert same.coverage == pytest.approx(real.coverage, abs=0.06)
    assert noisy.coverage < same.coverage - 0.2


def test_the_same_seeds_are_the_same_score(digits: DataSplit, held_out: HeldOut) -> None:
    generator = Replay(digits.train, 0.3).eval()
    assert held_out.score(generator, 5) == held_out.score(generator, 5) != held_out.score(generator, 6)


def test_too_few_held_out_images_and_sequences_are_refused(digits: DataSplit) -> None:
    judge = Judge(JudgeNetwork(1, 8, 8, 10))
    few = replace(digits, held_out=digits.held_out.subset(np.arange(19)))
    with pytest.raises(DataError, match="19 held-out images, at least 20 are needed"):
        HeldOut(few, judge)
    moving = replace(digits.train, images=digits.train.images[:, None].repeat(2, 1))
    with pytest.raises(DataError, match="compares still images"):
        HeldOut(replace(digits, train=moving), judge)


def test_less_distance_and_more_coverage_are_better() -> None:
    assert better("frechet", 1.0, 2.0)
    assert better("coverage", 0.9, 0.8)
    assert not better("frechet", 1.0, 1.0)
