"""What remains of a generator learns to draw what the whole one draws."""

import pytest
import torch

from tests.unit.trainer.compress.generators import KINDS
from trainer.compress.pruning.channels import fill_narrow
from trainer.compress.pruning.config import DistillationConfig
from trainer.compress.pruning.distillation import Distillation
from trainer.compress.pruning.perception import Perception, perception_of
from trainer.compress.pruning.weights import Zeros
from trainer.networks.base import DiscriminatorConfig, Generator
from trainer.networks.dcgan_discriminator import DcganDiscriminatorConfig
from trainer.networks.projection_discriminator import ProjectionDiscriminatorConfig

STEPS = DistillationConfig(steps=60, batch_size=16)


def pair(name: str) -> tuple[Generator, Generator]:
    """The whole generator, and half of it as pruning left it."""
    kind = KINDS[name]
    wide, narrowed = kind.build().requires_grad_(False), kind.config.narrowed(0.5)
    assert narrowed is not None
    narrow = narrowed.build(kind.spec)
    fill_narrow(narrow, wide, "scale")
    return wide, narrow


def distance(name: str, one: Generator, other: Generator) -> float:
    latents = torch.randn(64, one.latent_dim, generator=torch.Generator().manual_seed(9))
    labels = torch.arange(64) % KINDS[name].spec.classes
    with torch.no_grad():
        return float((one(latents, labels) - other(latents, labels)).square().mean())


def taught(name: str, config: DistillationConfig, perception: Perception | None = None) -> tuple[float, float]:
    """Distances before and after; before: with settled statistics."""
    wide, narrow = pair(name)
    classes = KINDS[name].spec.classes
    untaught = Distillation(replace_steps(config, 0), wide, perception, classes, 256).teach(narrow, lambda _: None)
    before = distance(name, untaught, wide)
    student = Distillation(config, wide, perception, classes, 256).teach(pair(name)[1], lambda _: None)
    assert not student.training
    return before, distance(name, student, wide)


def replace_steps(config: DistillationConfig, steps: int) -> DistillationConfig:
    return config.model_copy(update={"steps": steps})


@pytest.mark.parametrize("name", ["upsampling", "mlp", "lstm"])
def test_it_comes_nearer(name: str) -> None:
    before, after = taught(name, STEPS)
    assert after < 0.6 * before


@pytest.mark.parametrize(
    "config", [ProjectionDiscriminatorConfig(width=16, min_width=8, features=16), DcganDiscriminatorConfig(width=8)],
    ids=lambda config: config.kind,
)  # fmt: skip
def test_a_discriminator_helps_and_is_not_changed(config: DiscriminatorConfig) -> None:
    kind = KINDS["upsampling"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        judge = config.build(kind.spec).eval()
    judge.requires_grad_(False)
    weights = {name: value.clone() for name, value in judge.state_dict().items()}
    before, after = taught("upsampling", STEPS, perception_of(judge))
    assert after < 0.6 * before
    assert all(torch.equal(value, weights[name]) for name, value in judge.state_dict().items())


def test_the_same_seed_teaches_the_same() -> None:
    students = []
    for seed in (0, 0, 1):
        wide, narrow = pair("mlp")
        config = DistillationConfig(steps=5, batch_size=8, seed=seed)
        students.append(Distillation(config, wide, None, 1, 256).teach(narrow, lambda _: None).state_dict())
    assert all(torch.equal(value, students[1][name]) for name, value in students[0].items())
    assert any(not torch.equal(value, students[2][name]) for name, value in students[0].items())


def test_zeros_stay_zero() -> None:
    wide, _ = pair("upsampling")
    kind = KINDS["upsampling"]
    student = kind.config.build(kind.spec)
    student.load_state_dict(wide.state_dict())
    zeros = Zeros(student, 0.75)
    assert zeros.share == pytest.approx(0.75, abs=0.01)
    student = Distillation(STEPS, wide, None, 4, 256).teach(student, zeros.apply)
    for layer in student.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            assert float((layer.weight == 0).float().mean()) == pytest.approx(0.75, abs=0.02)


def test_the_latents_of_sequences_are_fewer() -> None:
    seen: list[int] = []

    class Watching(torch.nn.Module):
        def __init__(self, inner: Generator) -> None:
            super().__init__()
            self.inner, self.latent_dim, self.frames = inner, inner.latent_dim, inner.frames

        def forward(self, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            seen.append(len(latents))
            images: torch.Tensor = self.inner(latents, labels)
            return images

    wide, narrow = pair("lstm")
    config = DistillationConfig(steps=1, batch_size=20, settled=0.0)
    Distillation(config, Watching(wide), None, 1, 256).teach(narrow, lambda _: None)  # type: ignore[arg-type]
    assert seen == [20 // 5]
