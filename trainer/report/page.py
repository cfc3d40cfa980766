"""`report.html`: one file, no script, nothing to load; readable on a phone, in the light and in the dark."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from runtime.manifest import Manifest, Measurement
from trainer.evaluation.catalogue import CATALOGUE, Measure
from trainer.evaluation.per_class import ClassRow
from trainer.report.before import Before
from trainer.report.drawings import Drawing, curve_drawing, figure, interval_drawing
from trainer.report.pictures import Pictures

_HEADLINE = ("frechet_distance", "coverage", "label_accuracy", "synthetic_to_real_accuracy", "nearest_training_ratio")
_NO_CURVE = {"images", "steps", "seconds", "images_per_second", "learning_rate_factor"}


@dataclass(frozen=True)
class Page:
    """What the page is made of; `facts` are those of `evaluation.json`."""

    manifest: Manifest
    facts: Mapping[str, Any]
    measures: Mapping[str, Measurement]
    classes: Sequence[ClassRow]
    pictures: Pictures
    history: Sequence[Mapping[str, Any]]
    before: Before | None = None


@dataclass(frozen=True)
class Card:
    """One measure on the page."""

    name: str
    measure: Measure
    found: Measurement
    drawing: Drawing


@dataclass(frozen=True)
class Curve:
    """One number of the training over the images seen."""

    name: str
    last: float
    drawing: Drawing


def render(page: Page) -> str:
    """The text of `report.html`; names of classes and whatever else came with the data are escaped."""
    cards = [
        Card(name, CATALOGUE[name], found, interval_drawing(found, CATALOGUE[name]))
        for name, found in page.measures.items()
    ]
    return _template().render(
        manifest=page.manifest,
        facts=page.facts,
        headline=[card for name in _HEADLINE for card in cards if card.name == name],
        groups=[(group, list(members)) for group, members in groupby(cards, lambda card: card.measure.group)],
        classes=page.classes,
        before=page.before,
        compared=_compared(page),
        pictures=page.pictures,
        curves=_curves(page.history),
        figure=figure,
    )


@cache
def _template() -> Template:
    text = (files("trainer.report") / "page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(text)


def _compared(page: Page) -> list[tuple[Measure, Measurement, Measurement]]:
    """Every measure that was taken before and after a fine-tuning, in this order."""
    before = {} if page.before is None else page.before.measures
    return [(CATALOGUE[name], before[name], page.measures[name]) for name in before if name in page.measures]


def _curves(history: Sequence[Mapping[str, Any]]) -> list[Curve]:
    """Of every number that the training noted twice or more."""
    names = dict.fromkeys(name for line in history for name in line if name not in _NO_CURVE)
    curves = []
    for name in names:
        points = [(line["images"], line[name]) for line in history if _finite(line.get(name))]
        if len(points) > 1:
            images, values = zip(*points, strict=True)
            curves.append(Curve(name, values[-1], curve_drawing(images, values)))
    return curves


def _finite(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
