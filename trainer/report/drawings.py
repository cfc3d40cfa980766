"""Plots as SVG text: nothing to load, colours by the page's style."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from runtime.manifest import Measurement
from trainer.evaluation.catalogue import Measure

_WIDTH, _HEIGHT = 300, 22
_CURVE_HEIGHT = 80
_EDGE = 4


@dataclass(frozen=True)
class Drawing:
    """An SVG element, and what stands at the ends of its axis."""

    svg: str
    low: float
    high: float


def interval_drawing(found: Measurement, measure: Measure) -> Drawing:
    """The value as a dot on its interval; behind it that of real images as a line in a band."""
    points = [found.value, *(found.interval or ()), *(found.real_interval or ())]
    if found.real is not None:
        points.append(found.real)
    low, high = min(0.0, *points), max(points)
    if measure.high == 1:
        low, high = 0.0, 1.0
    if high <= low:
        high = low + 1
    across = _scale(low, high, _EDGE, _WIDTH - _EDGE)
    middle = _HEIGHT / 2
    parts = [f'<line class="axis" x1="{_EDGE}" x2="{_WIDTH - _EDGE}" y1="{middle}" y2="{middle}"/>']
    if found.real_interval is not None:
        left, right = map(across, found.real_interval)
        parts.append(f'<rect class="floor" x="{left:.1f}" width="{max(1.0, right - left):.1f}" y="2" height="18"/>')
    if found.real is not None:
        at = across(found.real)
        parts.append(f'<line class="real" x1="{at:.1f}" x2="{at:.1f}" y1="2" y2="20"/>')
    if found.interval is not None:
        left, right = map(across, found.interval)
        parts.append(f'<line class="ours" x1="{left:.1f}" x2="{right:.1f}" y1="{middle}" y2="{middle}"/>')
    parts.append(f'<circle class="dot" cx="{across(found.value):.1f}" cy="{middle}" r="4"/>')
    return Drawing(_svg(parts, _HEIGHT), low, high)


def curve_drawing(images: Sequence[float], values: Sequence[float]) -> Drawing:
    """`values` over `images`, two of each at least, all finite."""
    low, high = min(values), max(values)
    across = _scale(min(images), max(images), _EDGE, _WIDTH - _EDGE)
    up = _scale(low, high if high > low else low + 1, _CURVE_HEIGHT - _EDGE, _EDGE)
    points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in zip(images, values, strict=True))
    return Drawing(_svg([f'<polyline class="curve" points="{points}"/>'], _CURVE_HEIGHT), low, high)


def figure(value: float) -> str:
    """`value` in a few digits."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _scale(low: float, high: float, left: float, right: float) -> Callable[[float], float]:
    """From numbers between `low` and `high` to places between `left` and `right`."""
    factor = (right - left) / (high - low if high > low else 1)
    return lambda value: left + (value - low) * factor


def _svg(parts: Sequence[str], height: int) -> str:
    return f'<svg viewBox="0 0 {_WIDTH} {height}" aria-hidden="true">{"".join(parts)}</svg>'
