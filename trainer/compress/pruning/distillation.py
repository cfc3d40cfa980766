"""Distillation: a pruned generator learns to draw what the whole one draws of the same latents (Aguinaldo et al. 2019,
"Compressing GANs using knowledge distillation", section 3, with a discriminator's features beside the pixels)."""

import math
import sys
from collections.abc import Callable
from typing import NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from trainer.compress.pruning.config import DistillationConfig
from trainer.compress.pruning.perception import Perception
from trainer.ema import with_statistics
from trainer.networks.base import Generator
from trainer.networks.conditional_batch_norm import ConditionalBatchNorm2d
from trainer.systems.vae_gan import feature_error

_BETAS = (0.9, 0.99)
_LAST_RATE = 0.01
_NORMS = (ConditionalBatchNorm2d, nn.BatchNorm1d, nn.BatchNorm2d)


class Distillation:
    """A teacher with its discriminator's eyes, and latents for ever."""

    def __init__(
        self,
        config: DistillationConfig,
        teacher: Generator,
        perception: Perception | None,
        classes: int,
        statistics_images: int,
    ) -> None:
        """
        Args:
            teacher: in eval mode; its device is where all of it happens.
            perception: of a frozen discriminator on the same device; None: pixels alone.
            statistics_images: see `EmaConfig.statistics_images`.
        """
        self._config, self._teacher, self._classes = config, teacher, classes
        self._perception = perception if config.features else None
        self._statistics_images = statistics_images
        self._device = next(teacher.parameters()).device
        self._random = torch.Generator().manual_seed(config.seed)
        self._batch = max(2, config.batch_size // teacher.frames)

    def teach(self, student: Generator, after_step: Callable[[Generator], None]) -> Generator:
        """The taught student, in eval mode with settled statistics; `student` itself is changed on the way.

        First with the statistics of each batch, which forgive much, then with those that it will be served with.

        Args:
            after_step: what must hold after every step, as that zeros are zero.
        """
        steps = self._config.steps
        settled = round(steps * self._config.settled)
        with tqdm(total=steps, desc="distilling", unit="step", file=sys.stderr, disable=not steps) as bar:
            bar.mininterval = 0.2 if sys.stderr.isatty() else 10.0
            self._train(student.train(), steps - settled, lambda _: 1.0, after_step, bar)
            student = with_statistics(student, classes=self._classes, images=self._statistics_images)
            student.train()
            for module in student.modules():
                if isinstance(module, _NORMS):
                    module.eval()
            self._train(student, settled, lambda done: _cosine(done / max(1, settled)), after_step, bar)
        return student.eval()

    def _train(
        self,
        student: Generator,
        steps: int,
        rate: Callable[[int], float],
        after_step: Callable[[Generator], None],
        bar: "tqdm[NoReturn]",
    ) -> None:
        optimizer = torch.optim.Adam(student.parameters(), self._config.learning_rate, _BETAS)
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = self._config.learning_rate * rate(step)
            loss = self._loss(student)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            after_step(student)
            if step % 20 == 0:
                bar.set_postfix_str(f"loss {loss.item():.4f}", refresh=False)
            bar.update()

    def _loss(self, student: Generator) -> Tensor:
        """Squared distances of pixels and of features, each relative to how much the teacher's images differ."""
        latents = torch.randn(self._batch, self._teacher.latent_dim, generator=self._random).to(self._device)
        labels = torch.randint(0, self._classes, (self._batch,), generator=self._random).to(self._device)
        with torch.no_grad():
            wanted = self._teacher(latents, labels)
        drawn = student(latents, labels)
        loss: Tensor = F.mse_loss(drawn, wanted) / wanted.var().clamp_min(1e-4)
        if self._perception is None:
            return loss
        with torch.no_grad():
            reference = self._perception(wanted, labels)
        features = self._perception(drawn, labels)
        relative: Tensor = 2 * feature_error(features, reference) / reference[0].numel()
        return loss + self._config.features * relative


def _cosine(done: float) -> float:
    return _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done))
