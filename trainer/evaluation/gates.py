"""Quality gates: thresholds such as ``coverage>=0.6`` that a package meets or misses."""

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from runtime.manifest import Measurement, Precision, Requirement
from trainer.config import suggestion
from trainer.errors import ConfigError
from trainer.evaluation.catalogue import CATALOGUE

MISSED_REQUIREMENTS = 3
"""Exit code of commands whose package misses a requirement; 1 and 2 are errors."""

_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_EXPRESSION = re.compile(r"\s*([\w.-]+?)\s*(>=|<=|>|<)\s*(\S+)\s*")


@dataclass(frozen=True)
class Gate:
    """A measure, maybe of one precision as in ``int8.coverage``, and what it is held to."""

    measure: str
    comparison: str
    threshold: float

    def __str__(self) -> str:
        return f"{self.measure}{self.comparison}{self.threshold:g}"

    def judge(self, evaluation: Mapping[str, Measurement]) -> Requirement:
        """Met or missed; what was not measured is missed."""
        found = evaluation.get(self.measure)
        if found is None:
            return Requirement(expression=str(self), value=None, met=False)
        met = _COMPARISONS[self.comparison](found.value, self.threshold)
        return Requirement(expression=str(self), value=found.value, met=met)


def parse_gate(text: str) -> Gate:
    """The gate that `text` spells.

    Raises:
        ConfigError: another form, no such measure (the nearest one is named), or no number.
    """
    match = _EXPRESSION.fullmatch(text)
    if match is None:
        raise ConfigError(f"require {text!r}: write MEASURE>=NUMBER, with >=, <=, > or <, e.g. 'coverage>=0.6'")
    measure, comparison, number = match.groups()
    precision, dot, bare = measure.rpartition(".")
    if bare not in CATALOGUE or (dot and precision not in get_args(Precision)):
        raise ConfigError(f"require {text!r}: no measure {measure!r}{suggestion(measure, CATALOGUE)}")
    try:
        threshold = float(number)
    except ValueError as error:
        raise ConfigError(f"require {text!r}: {number!r} is not a number") from error
    if math.isnan(threshold):
        raise ConfigError(f"require {text!r}: nothing is above or below nan")
    return Gate(bare if precision == "fp32" else measure, comparison, threshold)


def judge_gates(expressions: Iterable[str], evaluation: Mapping[str, Measurement]) -> list[Requirement]:
    """Each expression once, met or missed.

    Raises:
        ConfigError: see `parse_gate`.
    """
    return [parse_gate(text).judge(evaluation) for text in dict.fromkeys(expressions)]


def misses(requirements: Iterable[Requirement]) -> list[str]:
    """A line for each requirement that is missed."""
    return [
        f"misses {each.expression}: {'not measured' if each.value is None else f'{each.value:.4g}'}"
        for each in requirements
        if not each.met
    ]
