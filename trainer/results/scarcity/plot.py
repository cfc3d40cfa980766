"""The plot of the study of scarcity, as SVG: errors of the arms, and gains with their intervals."""

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean

from runtime.atomic import write_atomic
from trainer.results.scarcity.findings import Findings, Gain
from trainer.results.scarcity.plan import BOTH, CLASSIC, OTHERS_THEMSELVES, REAL, SYNTHETIC, TRANSFER

_ERRORS = {REAL: "#8a8f98", CLASSIC: "#1f6feb", SYNTHETIC: "#d29922", BOTH: "#d1242f", TRANSFER: "#8250df"}
_GAINS = {BOTH: "#d1242f", TRANSFER: "#8250df", OTHERS_THEMSELVES: "#1a7f37"}
_WIDTH, _HEIGHT = 860, 380
_TOP, _BOTTOM = 64, 320
_LEFTS, _SPAN = (60, 490), 340
_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)
_APART = 7  # pixels between intervals of one size
_NAME = "scarcity.svg"

Place = Callable[[float], float]


def write_plot(findings: Findings, folder: Path) -> str:
    """Write it into `folder`, and return its file name."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / _NAME, draw(findings).encode())
    return _NAME


def draw(findings: Findings) -> str:
    """SVG that needs nothing else, readable on a light and on a dark page."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        'font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
    ]
    if findings.sizes:
        parts += [*_errors(findings), *_gains(findings)]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _errors(findings: Findings) -> Iterable[str]:
    curves = {
        arm: [(size, 100 * (1 - mean(values))) for size in findings.sizes if (values := findings.accuracies(size, arm))]
        for arm in _ERRORS
    }
    values = [error for points in curves.values() for _, error in points if error > 0]
    x = _sizes(findings.sizes, _LEFTS[0])
    low, high = min(values, default=1) / 1.2, max(values, default=10) * 1.2
    y = _scale(math.log(low), math.log(high))
    yield from _frame(findings.sizes, x, _LEFTS[0], "errors on held-out real images, %", _ERRORS)
    for tick in _TICKS:
        if low <= tick <= high:
            yield from _line(_LEFTS[0], y(math.log(tick)), f"{tick:g}")
    for arm, points in curves.items():
        places = [(x(size), y(math.log(error))) for size, error in points if error > 0]
        path = " ".join(f"{across:.1f},{down:.1f}" for across, down in places)
        yield f'<polyline points="{path}" fill="none" stroke="{_ERRORS[arm]}" stroke-width="2"/>'
        yield from (f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{_ERRORS[arm]}"/>' for a, b in places)


def _gains(findings: Findings) -> Iterable[str]:
    found: dict[str, list[tuple[int, Gain]]] = {
        arm: [(size, gain) for size in findings.sizes if (gain := findings.gain(size, arm, CLASSIC)) and gain.seeds > 1]
        for arm in _GAINS
    }
    ends = [100 * (g.mean + sign * g.margin) for points in found.values() for _, g in points for sign in (-1, 1)]
    low, high = min([0.0, *ends]), max([0.0, *ends, 0.1])
    spare = 0.05 * (high - low)
    y, x = _scale(low - spare, high + spare), _sizes(findings.sizes, _LEFTS[1])
    shown = {arm: colour for arm, colour in _GAINS.items() if found[arm]}
    yield from _frame(findings.sizes, x, _LEFTS[1], "gain over classic, percentage points, 95 % intervals", shown)
    step = next(tick for tick in (*_TICKS, 1e9) if (high - low) / tick <= 7)
    for number in range(math.ceil((low - spare) / step), math.floor((high + spare) / step) + 1):
        yield from _line(_LEFTS[1], y(number * step), f"{number * step:g}", strong=number == 0)
    for place, (arm, colour) in enumerate(shown.items()):
        for size, gain in found[arm]:
            across = x(size) + _APART * (place - (len(shown) - 1) / 2)
            ends_of = (y(100 * (gain.mean - gain.margin)), y(100 * (gain.mean + gain.margin)))
            yield (
                f'<line x1="{across:.1f}" x2="{across:.1f}" y1="{ends_of[0]:.1f}" y2="{ends_of[1]:.1f}" '
                f'stroke="{colour}" stroke-width="2"/>'
            )
            yield f'<circle cx="{across:.1f}" cy="{y(100 * gain.mean):.1f}" r="3.5" fill="{colour}"/>'


def _frame(sizes: Sequence[int], x: Place, left: int, title: str, names: dict[str, str]) -> Iterable[str]:
    """Title, legend and the axis of sizes."""
    yield f'<text x="{left}" y="18" font-weight="600">{title}</text>'
    across = left
    for name, colour in names.items():
        yield f'<circle cx="{across + 4}" cy="38" r="4" fill="{colour}"/><text x="{across + 12}" y="42">{name}</text>'
        across += 26 + 7 * len(name)
    for size in sizes:
        yield f'<text x="{x(size):.1f}" y="{_BOTTOM + 18}" text-anchor="middle">{size}</text>'
    yield f'<text x="{left + _SPAN / 2}" y="{_BOTTOM + 40}" text-anchor="middle">real images per class</text>'


def _line(left: int, down: float, label: str, *, strong: bool = False) -> Iterable[str]:
    """A horizontal line of the grid and what it stands for."""
    colour = "#57606a" if strong else "#d8dee4"
    yield f'<line x1="{left}" x2="{left + _SPAN}" y1="{down:.1f}" y2="{down:.1f}" stroke="{colour}"/>'
    yield f'<text x="{left - 8}" y="{down + 4:.1f}" text-anchor="end" fill="#57606a">{label}</text>'


def _sizes(sizes: Sequence[int], left: int) -> Place:
    low, high = math.log(min(sizes)), math.log(max(sizes))
    if low == high:
        return lambda _: left + _SPAN / 2
    return lambda size: left + 24 + (math.log(size) - low) / (high - low) * (_SPAN - 48)


def _scale(low: float, high: float) -> Place:
    return lambda value: _BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP)
