"""The study of speed: our step beside the plain one, on the same networks, in turns in the same process."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

import torch
import torch.nn.functional as F

from trainer.data import ImageSpec
from trainer.device import computes_bf16, make_fabric
from trainer.results.order import Order
from trainer.results.plain import (
    Loss,
    PlainDcganDiscriminator,
    PlainDcganGenerator,
    PlainResnetDiscriminator,
    PlainResnetGenerator,
    PlainStep,
    Rates,
)
from trainer.results.yardstick import Yardstick
from trainer.training import resolve

ROUNDS = 40
_WARM_UP = 4


@dataclass(frozen=True)
class Pair:
    """Networks of a recipe, without its regularizers and augmentations, and the same in plain code.

    Attributes:
        least: ratio of speeds below which the recipe's step is not what it should be.
    """

    name: str
    recipe: str
    overrides: tuple[str, ...]
    spec: ImageSpec
    plain: Callable[[ImageSpec], PlainStep]
    least: float


@dataclass(frozen=True)
class Measured:
    """Seconds per step, medians of the rounds, and the median of the rounds' ratios."""

    ours: float
    plain: float
    ratio: float


def section(_order: Order, _yardstick: Yardstick) -> Iterator[str]:
    """The section, once all pairs are measured."""
    fabric = make_fabric(resolve(PAIRS[0].recipe, ()).device, PAIRS[0].spec)
    lines = [
        "## Speed of a step",
        "",
        "Our step beside the same networks in plain eager fp32 (`trainer/results/plain.py`): the default layout, Adam "
        "parameter by parameter, images drawn once for each player, nothing merged. Both players are updated once on "
        f"a batch of 64, the generator's average too; {ROUNDS} rounds in turns, medians; one thread; ours in "
        f"{'bf16' if computes_bf16(resolve(PAIRS[0].recipe, ()).device, fabric.device.type) else 'fp32'}.",
        "",
        "| networks | ours | plain | ratio | target |",
        "|---|--:|--:|--:|--:|",
    ]
    for pair in PAIRS:
        found = measure(pair, ROUNDS)
        lines.append(
            f"| {pair.name} | {64 / found.ours:,.0f} images/s | {64 / found.plain:,.0f} images/s | {found.ratio:.2f} "
            f"| ≥ {pair.least:g} |"
        )
    yield "\n".join(lines) + "\n"


def measure(pair: Pair, rounds: int, batch: int = 64) -> Measured:
    """Time both steps of `pair` on one thread, `rounds` times in turns, in CPU seconds of this process: a busy machine
    slows both alike."""
    recipe = resolve(pair.recipe, ("device.threads=1", *pair.overrides))
    fabric = make_fabric(recipe.device, pair.spec)
    fabric.seed_everything(0, verbose=False)
    system, plain = recipe.system.build(recipe, pair.spec, fabric), pair.plain(pair.spec)
    images = torch.randint(0, 256, (batch, pair.spec.channels, pair.spec.height, pair.spec.width), dtype=torch.uint8)
    labels = torch.randint(0, pair.spec.classes, (batch,))
    ours_seconds, plain_seconds = [], []
    for round_number in range(_WARM_UP + rounds):
        begun = time.process_time()
        system.step(images, labels, round_number, 1.0)
        between = time.process_time()
        plain(images.float() / 127.5 - 1, labels)
        if round_number >= _WARM_UP:
            ours_seconds.append(between - begun)
            plain_seconds.append(time.process_time() - between)
    ratios = [theirs / ours for ours, theirs in zip(ours_seconds, plain_seconds, strict=True)]
    return Measured(median(ours_seconds), median(plain_seconds), median(ratios))


def _dcgan(spec: ImageSpec) -> PlainStep:
    losses: tuple[Loss, Loss, Loss] = (
        lambda real: F.softplus(-real).mean(),
        lambda fake: F.softplus(fake).mean(),
        lambda fake: F.softplus(-fake).mean(),
    )
    generator, discriminator = PlainDcganGenerator(spec.channels), PlainDcganDiscriminator(spec.channels)
    return PlainStep(generator, discriminator, 100, losses, Rates(2e-4, 2e-4, (0.5, 0.999)))


def _resnet(spec: ImageSpec) -> PlainStep:
    losses: tuple[Loss, Loss, Loss] = (
        lambda real: F.relu(1 - real).mean(),
        lambda fake: F.relu(1 + fake).mean(),
        lambda fake: -fake.mean(),
    )
    generator = PlainResnetGenerator(64, spec.channels, spec.classes)
    discriminator = PlainResnetDiscriminator(64, spec.channels, spec.classes)
    return PlainStep(generator, discriminator, 128, losses, Rates(2e-4, 4e-4, (0.0, 0.9)))


PAIRS = (
    Pair("DCGAN, 28×28 grey", "dcgan", ("discriminator.dropout=0",), ImageSpec(28, 28, 1, 10), _dcgan, 1.4),
    Pair(
        "SN-ResNet, 32×32 colour, width 64",
        "resnet-hinge",
        ("augmentations={}",),
        ImageSpec(32, 32, 3, 10),
        _resnet,
        2.0,
    ),
)
