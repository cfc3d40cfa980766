"""What the study of compression trains and what it makes of it, with the targets."""

from collections.abc import Callable
from dataclasses import dataclass

from trainer.compress.fp16 import Fp16Config
from trainer.compress.int8 import Int8Config
from trainer.compress.int8_weights import Int8WeightsConfig
from trainer.compress.pruning.config import ChannelPruningConfig, DistillationConfig
from trainer.compress.quantization import METHODS

BATCHES = (1, 8, 32)
"""Images at a time of the measured speeds."""


@dataclass(frozen=True)
class Model:
    """A kind of generator, as a recipe with overrides.

    Attributes:
        convolutional: whether the targets for convolutional generators of still images hold it.
    """

    title: str
    recipe: str
    overrides: tuple[str, ...] = ()
    convolutional: bool = True

    @property
    def slug(self) -> str:
        """For names of files."""
        return self.title.lower().replace(" ", "-")


MODELS = (
    Model("MLP", "gan-mlp", convolutional=False),
    Model("DCGAN 28", "dcgan"),
    Model("DCGAN 64", "dcgan", ("data.size=64",)),
    Model("ResNet 32", "resnet-hinge", ("data.size=32", "conditional=false")),
    Model("conditional ResNet 32", "resnet-hinge", ("data.size=32",)),
    Model("VAE-GAN", "vae-gan"),
    Model("LSTM", "lstm-gan", convolutional=False),
    Model("recurrent VAE", "rvae-gan", convolutional=False),
)


@dataclass(frozen=True)
class Form:
    """One way to compress: pruned first or not, then quantized or not.

    Attributes:
        slug: for names of files and packages.
    """

    title: str
    slug: str
    pruned: bool = False
    method: METHODS | None = None


FORMS = (
    Form("fp32", "fp32"),
    Form("fp16", "fp16", method=Fp16Config()),
    Form("int8-weights", "int8-weights", method=Int8WeightsConfig()),
    Form("int8", "int8", method=Int8Config()),
    Form("pruned 50 %", "pruned", pruned=True),
    Form("pruned + int8", "pruned-int8", pruned=True, method=Int8Config()),
)


def pruning(steps: int) -> ChannelPruningConfig:
    """Of every pruned form."""
    return ChannelPruningConfig(ratio=0.5, distillation=DistillationConfig(steps=steps))


@dataclass(frozen=True)
class Row:
    """One form of one model, beside the model's own fp32.

    Attributes:
        verdict: empty, or why there is nothing to measure.
        size: of the graph over that of fp32.
        speeds: images per second over those of fp32, one for each of `BATCHES`; on one thread.
        psnr_db: against images of fp32; None where they are the same.
        frechet: to real images, with that of fp32; NaN-free, both zero where there is a verdict.
        accuracy: share of images read as their label, with that of fp32; None without labels to ask for.
        features: in which distances are taken, in words.
        vnni: whether the processor has 8-bit dot products.
    """

    title: str
    form: str
    verdict: str = ""
    size: float = 0.0
    speeds: tuple[float, ...] = ()
    psnr_db: float | None = None
    frechet: tuple[float, float] = (0.0, 0.0)
    accuracy: tuple[float, float] | None = None
    reproducible: bool = True
    features: str = ""
    vnni: bool = False

    @property
    def frechet_increase(self) -> float:
        """As a share of fp32's."""
        return self.frechet[0] / max(self.frechet[1], 1e-9) - 1

    @property
    def accuracy_loss(self) -> float | None:
        """As a share of all images."""
        return None if self.accuracy is None else self.accuracy[1] - self.accuracy[0]


@dataclass(frozen=True)
class Target:
    """A bound that a form of every convolutional generator has to keep.

    Attributes:
        value: None where it does not apply.
    """

    form: str
    title: str
    value: Callable[[Row], float | None]
    bound: float
    at_most: bool = False

    def met(self, value: float) -> bool:
        """Whether `value` keeps the bound."""
        return value <= self.bound if self.at_most else value >= self.bound

    def __str__(self) -> str:
        return f"{self.form}: {self.title} {'≤' if self.at_most else '≥'} {self.bound:g}"


def _speed(batch: int) -> Callable[[Row], float | None]:
    return lambda row: row.speeds[BATCHES.index(batch)]


TARGETS = (
    Target("int8", "size", lambda row: row.size, 0.28, at_most=True),
    Target("int8", "speed in batches of 8", _speed(8), 2.5),
    Target("int8", "speed in batches of 32", _speed(32), 2.5),
    Target("int8", "speed of single images", _speed(1), 1.5),
    Target("int8", "increase of the Fréchet distance", lambda row: row.frechet_increase, 0.1, at_most=True),
    Target("int8", "loss of label accuracy", lambda row: row.accuracy_loss, 0.01, at_most=True),
    Target("pruned 50 %", "speed in batches of 8", _speed(8), 2.7),
    Target("pruned 50 %", "increase of the Fréchet distance", lambda row: row.frechet_increase, 0.2, at_most=True),
    Target("pruned + int8", "speed in batches of 8", _speed(8), 6.0),
)
"""Set for convolutional generators on a processor with VNNI."""
