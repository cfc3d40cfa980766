"""The report's plots as SVG: the history of the search, the importance of fields, and each field against the
objective. Plain text, so that a report needs no script, no library and no network."""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from trainer.search.axes import Axis, axis
from trainer.search.results import SearchResults, TrialResult

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 112, 14, 36
_BAR = 26
_SLICE_WIDTH, _SLICE_HEIGHT = 300, 190


def history(results: SearchResults) -> str:
    """Every trial's value, the best one so far, and the lines of the default and of real images."""
    if all(trial.value is None for trial in results.trials):
        return ""
    y = _value_axis(results, [results.real], _HEIGHT - _BOTTOM, _TOP)
    x = axis([0, max(1, len(results.trials) - 1)], _LEFT, _WIDTH - _RIGHT, log=False)
    marks = [*_grid(y, _LEFT, _WIDTH - _RIGHT), *_level(y, results.real, "real images", "real")]
    if results.trials[0].state == "complete" and results.trials[0].value is not None:
        marks += _level(y, results.trials[0].value, "default", "default")
    marks.append(f'<polyline class="best" points="{" ".join(_staircase(results, x, y))}"/>')
    marks += [_mark(results, trial, x.place(trial.number), y) for trial in _best_last(results)]
    marks += [
        _caption("tick", x.place(tick), _HEIGHT - 20, f"{tick:.0f}")
        for tick in x.ticks
        if tick == int(tick) and 0 <= tick < len(results.trials)
    ]
    marks.append(_caption("tick", (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 4, "trial"))
    return _svg(_WIDTH, _HEIGHT, marks, f"{results.config['objective']} of each trial")


def importances(results: SearchResults) -> str:
    """One bar per field, the most important first; empty where that is not known."""
    if not results.importances:
        return ""
    left, room = 300, _WIDTH - 300 - 60
    largest = max(results.importances.values()) or 1.0
    marks = []
    for row, (path, share) in enumerate(results.importances.items()):
        top, length = row * _BAR, room * share / largest
        marks += [
            f'<text class="label" text-anchor="end" x="{left - 8}" y="{top + 17}">{escape(path)}</text>',
            f'<rect class="bar" x="{left}" y="{top + 4}" width="{length:.1f}" height="{_BAR - 8}"/>',
            f'<text class="tick" x="{left + length + 6:.1f}" y="{top + 17}">{share:.0%}</text>',
        ]
    return _svg(_WIDTH, _BAR * len(results.importances), marks, "importance of each field")


def slices(results: SearchResults) -> list[str]:
    """One plot per field: its values against the objective, the most important field first."""
    order = [*results.importances, *(path for path in results.defaults if path not in results.importances)]
    return [_slice(results, path) for path in order]


def _slice(results: SearchResults, path: str) -> str:
    shown = [trial for trial in _best_last(results) if trial.value is not None and path in trial.parameters]
    if not shown:
        return ""
    bottom, right = _SLICE_HEIGHT - _BOTTOM, _SLICE_WIDTH - 12
    y = _value_axis(results, [], bottom, _TOP)
    x, ticks = _field_axis(results, path, [trial.parameters[path] for trial in shown], _LEFT, right)
    places = x if isinstance(x, dict) else {trial.parameters[path]: x.place(trial.parameters[path]) for trial in shown}
    marks = [*_grid(y, _LEFT, right)]
    marks += [_caption("tick", place, bottom + 16, text) for text, place in ticks]
    marks.append(_caption("label", (_LEFT + right) / 2, _SLICE_HEIGHT - 5, path))
    marks += [_mark(results, trial, places[trial.parameters[path]], y) for trial in shown]
    return _svg(_SLICE_WIDTH, _SLICE_HEIGHT, marks, f"{path} against {results.config['objective']}")


def _field_axis(
    results: SearchResults, path: str, values: Sequence[Any], start: float, end: float
) -> tuple[Axis | dict[Any, float], list[tuple[str, float]]]:
    """Where the values of a field lie, and its ticks: a place of its own for each choice, or an axis of numbers."""
    if isinstance(results.config["space"][path], list):
        choices = sorted({*values, results.defaults[path]}, key=lambda choice: (str(type(choice)), choice))
        room = (end - start) / len(choices)
        places = {choice: start + room * (index + 0.5) for index, choice in enumerate(choices)}
        return places, [(_short(choice), place) for choice, place in places.items()]
    found = axis([*values, results.defaults[path]], start, end, log=path in results.log_scaled)
    ticks = found.ticks[:: max(1, len(found.ticks) // 4)]
    return found, [(f"{tick:g}", found.place(tick)) for tick in ticks]


def _short(choice: object) -> str:
    text = f"{choice:g}" if isinstance(choice, float) else str(choice)
    return text if len(text) <= 12 else f"{text[:11]}…"


def _best_last(results: SearchResults) -> list[TrialResult]:
    """Trials in the order in which they are drawn."""
    return sorted(results.trials, key=lambda trial: trial.number == results.best)


def _value_axis(results: SearchResults, values: Sequence[float], start: float, end: float) -> Axis:
    """For `values` and those of trials that got to their end: early values of the others are not like them, and lie on
    the edge where they are worse. Distances are in orders of magnitude, so that one bad trial does not press the
    others together."""
    complete = [trial.value for trial in results.trials if trial.state == "complete" and trial.value is not None]
    shown = complete or [trial.value for trial in results.trials if trial.value is not None]
    return axis([*values, *shown], start, end, log=results.direction == "minimize")


def _grid(y: Axis, left: float, right: float) -> Iterator[str]:
    for tick in y.ticks:
        place = y.place(tick)
        yield f'<line class="grid" x1="{left}" x2="{right}" y1="{place:.1f}" y2="{place:.1f}"/>'
        yield f'<text class="tick" text-anchor="end" x="{left - 6}" y="{place + 4:.1f}">{tick:g}</text>'


def _level(y: Axis, value: float, name: str, kind: str) -> list[str]:
    place, end = y.place(value), _WIDTH - _RIGHT
    return [
        f'<line class="level {kind}" x1="{_LEFT}" x2="{end}" y1="{place:.1f}" y2="{place:.1f}"/>',
        f'<text class="tick" x="{end + 6}" y="{place + 4:.1f}">{name} {value:.3g}</text>',
    ]


def _staircase(results: SearchResults, x: Axis, y: Axis) -> Iterator[str]:
    """Corners of the best value so far."""
    best: float | None = None
    smaller = results.direction == "minimize"
    for trial in results.trials:
        if trial.state == "complete" and trial.value is not None:
            if best is not None:
                yield f"{x.place(trial.number):.1f},{y.place(best):.1f}"
            if best is None or (trial.value < best) == smaller:
                best = trial.value
            yield f"{x.place(trial.number):.1f},{y.place(best):.1f}"


def _mark(results: SearchResults, trial: TrialResult, x: float, y: Axis) -> str:
    """One trial, with what it was in the words that appear under the pointer."""
    if trial.state in ("running", "waiting"):
        return ""
    lines = [f"trial {trial.number}: {trial.state}" + ("" if trial.value is None else f", {trial.value:.4g}")]
    lines += [f"{path} = {_short(value)}" for path, value in trial.parameters.items()]
    title = f"<title>{escape(chr(10).join([*lines, *filter(None, [trial.verdict])]))}</title>"
    if trial.value is None or trial.verdict:
        place = y.place(trial.value) if trial.value is not None else y.end + 4
        corners = f"M{x - 4:.1f},{place - 4:.1f}l8,8m0,-8l-8,8"
        return f'<path class="failed" d="{corners}">{title}</path>'
    kind = "chosen" if trial.number == results.best else trial.state
    radius = 6 if kind == "chosen" else 4
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y.place(trial.value):.1f}" r="{radius}">{title}</circle>'


def _caption(kind: str, x: float, y: float, text: str) -> str:
    """`text` centred at `x`."""
    return f'<text class="{kind}" text-anchor="middle" x="{x:.1f}" y="{y}">{escape(text)}</text>'


def _svg(width: int, height: int, marks: Sequence[str], name: str) -> str:
    body = "\n".join(mark for mark in marks if mark)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(name)}">\n{body}\n</svg>'
