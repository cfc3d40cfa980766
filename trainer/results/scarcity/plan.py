"""What the study of scarcity compares: generators and arms as rows of typed tables."""

from dataclasses import asdict, dataclass, field, replace
from typing import Literal

OTHER_DIGITS: Literal["other digits"] = "other digits"


@dataclass(frozen=True, kw_only=True)
class GeneratorPlan:
    """A generator.

    Attributes:
        variations: images that it is trained on, as many of each of the few real ones, changed by the classic
            augmentation each in a way of its own; 0: the bare images.
        transfer: whether training starts from a generator of the other digit set, and goes on with that set beside
            the variations, so that its variety is not forgotten.
        images: training images, repeats counted; 0 with `transfer`: the generator of the other digit set as it is,
            which has seen none of the few.
    """

    variations: int = 5000
    transfer: bool = False
    images: int


@dataclass(frozen=True, kw_only=True)
class Extra:
    """Images beside the real ones in the classifier's batches.

    Attributes:
        origin: name of a `GeneratorPlan`, or for comparison `OTHER_DIGITS`, the set that transfer begins with.
        per_class: number of them; `OTHER_DIGITS` is taken whole.
        worth: real images of each class that count as much as all of these: of a batch, worth / (worth + real images
            per class) are extra.
        truncation: factor of the latents, 0 … 1.
        confident: share of a class that is kept, those that the teacher is surest of.
        novel: share of a class that is kept, those farthest from every real image.
    """

    origin: str
    per_class: int = 500
    worth: float = 5.0
    truncation: float = 1.0
    confident: float = 1.0
    novel: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train the classifier.

    Attributes:
        name: in tables and files.
        classic: whether all images of a batch are changed by the classic augmentation.
        extra: None: the real images alone.
    """

    name: str
    classic: bool
    extra: Extra | None = None


GENERATORS: dict[str, GeneratorPlan] = {
    "own": GeneratorPlan(images=64_000),
    "other": GeneratorPlan(transfer=True, images=0),
    "tuned": GeneratorPlan(transfer=True, images=24_000),
}
"""By the name that `Extra.origin` gives."""

PARENT_IMAGES = 160_000
"""Training images of the generator of the other digit set, repeats counted."""

REAL, CLASSIC, SYNTHETIC, BOTH, TRANSFER = "real", "classic", "synthetic", "both", "transfer"
TUNED, OTHERS_THEMSELVES = "tuned to the few", "other digits themselves"
_ABOUT_TRANSFER = (TRANSFER, TUNED, OTHERS_THEMSELVES)
_OWN, _BEST = Extra(origin="own"), Extra(origin="other")

ARMS = (
    Arm(name=REAL, classic=False),
    Arm(name=CLASSIC, classic=True),
    Arm(name=SYNTHETIC, classic=False, extra=_OWN),
    Arm(name=BOTH, classic=True, extra=_OWN),
    Arm(name=TRANSFER, classic=True, extra=_BEST),
)
"""The question of the study: what is synthetic comes from the few images alone; and the best that was found, in a pilot
on other subsets that was judged on training images."""


def _changed(name: str, **changes: object) -> Arm:
    return Arm(name=name, classic=True, extra=Extra(**(asdict(_BEST) | changes)))


CONFIGURATIONS = (
    _changed(TUNED, origin="tuned"),
    _changed("100 per class", per_class=100),
    _changed("2,000 per class", per_class=2000),
    _changed("half the weight", worth=2.5),
    _changed("twice the weight", worth=10.0),
    _changed("the surer half", confident=0.5),
    _changed("the newer half", novel=0.5),
    _changed("truncation 0.7", truncation=0.7),
)
"""The best with one thing changed each."""

CONTROLS = (_changed(OTHERS_THEMSELVES, origin=OTHER_DIGITS),)
"""What the same information does without a generator."""


@dataclass(frozen=True)
class Cell:
    """One subset of the real images, and one seed of everything that is trained on it."""

    per_class: int
    seed: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the study does; the default is that of the published table.

    Attributes:
        sizes: real images per class.
        seeds: of the subset, the generators and the classifiers.
        steps: of every classifier.
        recipe: of every generator, on one thread in the precision that the machine is best at.
        settings: overrides of it: augmentations of Zhao et al. 2020, and little evaluation.
        parent_images: see `PARENT_IMAGES`.
    """

    sizes: tuple[int, ...] = (5, 10, 20, 50, 100)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    arms: tuple[Arm, ...] = (*ARMS, *CONFIGURATIONS, *CONTROLS)
    generators: dict[str, GeneratorPlan] = field(default_factory=lambda: dict(GENERATORS))
    steps: int = 600
    recipe: str = "digits-cgan"
    settings: tuple[str, ...] = (
        "augmentations={translation: {}, cutout: {ratio: 0.3}}",
        "device.threads=1",
        "export.precisions=[fp32]",
        "evaluation={samples: 200, real_images: 500}",
        "training.grids=0",
    )
    parent_images: int = PARENT_IMAGES

    @property
    def cells(self) -> list[Cell]:
        """All of them, every size with one seed before the next seed."""
        return [Cell(per_class, seed) for seed in self.seeds for per_class in self.sizes]

    def generator_of(self, arm: Arm) -> GeneratorPlan | None:
        """The generator whose images `arm` takes."""
        return self.generators.get(arm.extra.origin) if arm.extra else None

    def without_transfer(self) -> "Plan":
        """For images of which there is no other set: the arms that need none, all with the first generator that starts
        from random weights.
        """
        scratch = next(name for name, generator in self.generators.items() if not generator.transfer)
        arms: list[Arm] = []
        for arm in self.arms:
            generator = self.generator_of(arm)
            if arm.name in _ABOUT_TRANSFER:
                continue
            if arm.extra and generator and generator.transfer:
                arms.append(replace(arm, extra=replace(arm.extra, origin=scratch)))
            else:
                arms.append(arm)
        return replace(self, arms=tuple(arms), generators={scratch: self.generators[scratch]})
