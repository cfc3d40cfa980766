"""Axes of the report's plots: numbers to places on the paper, and where ticks belong."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

_MARGIN = 0.06  # of the axis, at either end
_STEPS = (1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """A linear or logarithmic axis.

    Attributes:
        low: number at `start`.
        high: number at `end`.
        start: place of `low`, in units of the drawing; may lie beyond `end`.
        log: whether equal factors are equally long; `low` is positive then.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool

    def place(self, value: float) -> float:
        """Where `value` lies; beyond the ends it lies on them."""
        value = min(max(value, self.low), self.high)
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    @property
    def ticks(self) -> list[float]:
        """Three to eight round numbers."""
        if self.log:
            for steps in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0)):
                found = [
                    step * 10.0**power
                    for power in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
                    for step in steps
                    if self.low <= step * 10.0**power <= self.high
                ]
                if len(found) >= 3:
                    return found
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(step * power for step in _STEPS if step * power >= rough)
        first = math.ceil(self.low / step)
        return [index * step for index in range(first, math.floor(self.high / step) + 1)]


def axis(values: Sequence[float], start: float, end: float, *, log: bool) -> Axis:
    """An axis that shows `values`, with a margin; logarithmic where that is asked for and possible."""
    low, high = min(values), max(values)
    log = log and low > 0
    if low == high:
        low, high = (low / 1.1, high * 1.1) if log else (low - 0.5, high + 0.5)
    if log:
        margin = (high / low) ** _MARGIN
        return Axis(low / margin, high * margin, start, end, log=True)
    margin = (high - low) * _MARGIN
    return Axis(low - margin, high + margin, start, end, log=False)
