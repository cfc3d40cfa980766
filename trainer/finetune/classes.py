"""The classes of a fine-tuned generator, and the rows of its class tables that each begins with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.errors import ConfigError

Mode = Literal["merge", "data"]
"""See `FineTuneConfig.classes`."""


@dataclass(frozen=True)
class ClassPlan:
    """Names, and where they come from.

    Attributes:
        names: classes of the new generator; empty for one that takes no labels.
        sources: the ancestor's row with which each row of the tables begins; without classes there is one row.
        places: number among `names` of each class of the images.
        new: names that the ancestor does not have.
    """

    names: tuple[str, ...]
    sources: tuple[int, ...]
    places: tuple[int, ...]
    new: tuple[str, ...] = ()

    @property
    def without_images(self) -> tuple[int, ...]:
        """Numbers, among `names`, of the classes that the images lack."""
        return tuple(number for number in range(len(self.names)) if number not in self.places)

    def drawn_as(self) -> tuple[int, ...]:
        """The ancestor's class of each class of the images: its own, or the one that a new class begins as."""
        return tuple(self.sources[place] for place in self.places)

    def describe(self, ancestor: Sequence[str]) -> str:
        """One line for people."""
        if not self.names:
            return "no classes"
        kept, begun = self.without_images, [f"{name} (begins as {ancestor[self.source_of(name)]})" for name in self.new]
        parts = [f"{len(self.names)} classes"]
        if begun:
            parts.append(f"new: {', '.join(begun)}")
        if kept:
            parts.append(f"without images: {', '.join(self.names[number] for number in kept)}")
        return "; ".join(parts)

    def source_of(self, name: str) -> int:
        """The ancestor's row with which class `name` begins."""
        return self.sources[self.names.index(name)]


def plan_classes(
    ancestor: Sequence[str], images: Sequence[str], mode: Mode, nearest: Callable[[int], int]
) -> ClassPlan:
    """Which classes there will be.

    Args:
        ancestor: classes of the package.
        images: classes of the images.
        mode: see `FineTuneConfig.classes`.
        nearest: from a class of the images to the ancestor's class that looks most like it.

    Raises:
        ConfigError: the package has classes and the images have none, or `data` would leave a single one.
    """
    if not ancestor:
        return ClassPlan((), (0,), (0,) * max(1, len(images)))
    if not images:
        raise ConfigError(
            f"--data: images without classes, and PACKAGE has {len(ancestor)} ({_some(ancestor)}): put them into one "
            "folder per class, or name the class of all of them with --label NAME"
        )
    if mode == "data" and len(images) < 2:
        raise ConfigError(
            f"classes=data: the images have one class, {images[0]!r}, and a generator with classes needs two; "
            "classes=merge keeps those of PACKAGE beside it"
        )
    new = tuple(name for name in images if name not in ancestor)
    names = tuple(images) if mode == "data" else (*ancestor, *new)
    known = {name: row for row, name in enumerate(ancestor)}
    sources = tuple(known[name] if name in known else nearest(images.index(name)) for name in names)
    return ClassPlan(names, sources, tuple(names.index(name) for name in images), new)


def _some(names: Sequence[str]) -> str:
    return f"{', '.join(names[:3])}{', …' * (len(names) > 3)}"
