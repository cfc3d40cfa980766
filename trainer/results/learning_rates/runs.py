"""One run of the study of learning rates: the networks of gat-mlp under any optimizer, scored on the way."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from statistics import median
from typing import cast

import numpy as np
import torch
from torch import Tensor

from runtime.latents import latents_from_seeds, row_seeds
from trainer.data import DataSplit
from trainer.data.order import DataOrder
from trainer.device import DeviceConfig, make_fabric
from trainer.ema import generate
from trainer.evaluation.frechet import Gaussian, fit_gaussian, frechet_distance
from trainer.evaluation.judge import Judge
from trainer.grids import to_uint8
from trainer.networks.base import Generator
from trainer.objectives.gat import GatConfig
from trainer.optimizers import AdamConfig, OptimizerConfig
from trainer.optimizers.conjugate_gradient import BETA_RULES, BetaRule, ConjugateGradientConfig
from trainer.optimizers.sgd import SgdConfig
from trainer.recipe import Recipe, load_recipe

RECIPE = "gat-mlp"
OPTIMIZERS = ("Adam", "SGD", *BETA_RULES)

_ROUNDS, _STEPS_PER_ROUND = 9, 20
_CHECK_EVERY = 20
_REFERENCE = 10_000
_CHUNK = 250  # features of more images at once fall out of the cache
_FIRST_SEED = 7_000_000


@dataclass(frozen=True)
class Setting:
    """One row of the table: the optimizer of both networks, one of `OPTIMIZERS`, and λ."""

    optimizer: str
    weight: float


@dataclass(frozen=True)
class Run:
    """One training: a setting with a learning rate for each network."""

    setting: Setting
    generator_rate: float
    discriminator_rate: float

    @property
    def recipe(self) -> Recipe:
        """The recipe on one CPU thread in fp32, without the rest of GAT where λ is 0."""
        gat = GatConfig(weight=self.setting.weight)
        changes = {
            "objective": gat if gat.weight else gat.base,
            "generator_optimizer": _optimizer(self.setting.optimizer, self.generator_rate),
            "discriminator_optimizer": _optimizer(self.setting.optimizer, self.discriminator_rate),
            "device": DeviceConfig(accelerator="cpu", precision="fp32", threads=1),
        }
        return _recipe().model_copy(update=changes)


@dataclass(frozen=True)
class Outcome:
    """Fréchet distances of one run; None where it diverged before.

    Attributes:
        steps: after as many steps as every run takes.
        time: after as many steps as the optimizer takes in the time that every run has.
        seconds: CPU time of the training alone.
    """

    steps: float | None
    time: float | None
    seconds: float


class Bench:
    """Trains and scores; all runs see the same images in the same order, and start from the same weights."""

    def __init__(self, data: DataSplit, judge: Judge, samples: int) -> None:
        """`samples`: generated images per score."""
        self._data, self._judge, self._samples = data, judge, samples

    def run(self, run: Run, equal_steps: int, equal_time: int) -> Outcome:
        """Train for the larger number of steps, or until a loss is not finite, and score after each of the two."""
        training = _Training(run, self._data, self._images, self._labels)
        scores: dict[int, float | None] = {}
        seconds = 0.0
        for pause in sorted({equal_steps, equal_time}):
            begun = time.process_time()
            finite = training.advance(pause)
            seconds += time.process_time() - begun
            if not finite:
                break
            scores[pause] = self._score(training.generator)
        return Outcome(scores.get(equal_steps), scores.get(equal_time), seconds)

    def seconds_per_step(self, runs: Sequence[Run]) -> list[float]:
        """CPU time of a step of each of `runs` relative to the first, the median of rounds in which all take turns."""
        trainings = [_Training(run, self._data, self._images, self._labels) for run in runs]
        rounds = []
        for steps in range(_STEPS_PER_ROUND, _STEPS_PER_ROUND * (_ROUNDS + 2), _STEPS_PER_ROUND):
            seconds = []
            for training in trainings:
                begun = time.process_time()
                training.advance(steps)
                seconds.append(time.process_time() - begun)
            rounds.append([each / seconds[0] for each in seconds])
        return [median(ratios) for ratios in zip(*rounds[1:], strict=True)]  # the first one warms up

    def _score(self, generator: Generator) -> float | None:
        latents = torch.from_numpy(latents_from_seeds(row_seeds(_FIRST_SEED, self._samples), generator.latent_dim))
        images = generate(generator, latents, torch.zeros(self._samples, dtype=torch.int64))
        if not images.isfinite().all():
            return None
        return frechet_distance(self._gaussian(to_uint8(images)), self._reference)

    def _gaussian(self, images: Tensor) -> Gaussian:
        """Of features of uint8 ``[n, H, W, C]``."""
        return fit_gaussian(np.concatenate([self._judge(part.numpy()) for part in torch.split(images, _CHUNK)]))

    @cached_property
    def _reference(self) -> Gaussian:
        return self._gaussian(torch.from_numpy(self._data.train.at_most(_REFERENCE).images))

    @cached_property
    def _images(self) -> Tensor:
        return torch.from_numpy(self._data.train.images).movedim(-1, -3).contiguous()

    @cached_property
    def _labels(self) -> Tensor:
        return torch.from_numpy(self._data.train.labels)


class _Training:
    """A system on its way."""

    def __init__(self, run: Run, data: DataSplit, images: Tensor, labels: Tensor) -> None:
        recipe = run.recipe
        fabric = make_fabric(recipe.device, data.train.spec)
        fabric.seed_everything(recipe.seed, verbose=False)
        self._system = recipe.system.build(recipe, data.train.spec, fabric)
        self._order, self._batch = DataOrder(len(images), recipe.seed), recipe.training.batch_size
        self._images, self._labels = images, labels
        self._step = 0

    @property
    def generator(self) -> Generator:
        return self._system.averaged_generator(0)

    def advance(self, step: int) -> bool:
        """Train up to `step`; whether the losses are finite there."""
        while self._step < step:
            rows = self._order.next(self._batch)
            metrics = self._system.step(self._images[rows], self._labels[rows], self._step, 1.0)
            self._step += 1
            due = self._step % _CHECK_EVERY == 0 or self._step == step
            if due and not math.isfinite(sum(float(value) for value in metrics.values())):
                return False
        return True


def _optimizer(name: str, rate: float) -> OptimizerConfig:
    if name == "Adam":
        return AdamConfig(learning_rate=rate, beta1=0.5, beta2=0.999)
    if name == "SGD":
        return SgdConfig(learning_rate=rate)
    return ConjugateGradientConfig(learning_rate=rate, rule=cast(BetaRule, name))


@cache
def _recipe() -> Recipe:
    return load_recipe(RECIPE)
