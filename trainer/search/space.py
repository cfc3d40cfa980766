"""The search space: fields of a recipe, each with a range or a list of choices, from a small YAML file.

::

    generator_optimizer.learning_rate: {low: 1.0e-4, high: 2.0e-3, log: true}
    training.batch_size: {low: 32, high: 128, step: 32}
    ema.decay: [0.99, 0.999]
    objective: [{kind: non-saturating}, {kind: hinge}]
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial
from pydantic import Field, model_validator

from trainer.config import Config, parse, value_at, with_value
from trainer.errors import ConfigError
from trainer.recipe import Recipe

Scalar = None | bool | int | float | str
"""What Optuna can store as one of several choices."""

_GRID_TOLERANCE = 1e-6  # of a step
_NO_LIMIT = 2**31 - 1  # characters per line


class Range(Config):
    """Numbers from `low` to `high`, both included."""

    low: float
    """Smallest value."""

    high: float
    """Largest value."""

    log: bool = False
    """Whether orders of magnitude are equally likely, as suits learning rates."""

    step: float | None = Field(default=None, gt=0)
    """Distance of the values that are tried, counted from `low`; null: any value (of integers: each)."""

    @model_validator(mode="after")
    def _consistent(self) -> "Range":
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low:g} has no logarithm; with log it must be above 0")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other")
        return self


@dataclass(frozen=True)
class Dimension:
    """One field that is searched.

    Attributes:
        path: of the field, names joined by dots.
        default: what the recipe itself says, as Optuna stores it.
        choices: the value of the field for each of a categorical distribution's choices; empty for ranges.
    """

    path: str
    distribution: BaseDistribution
    default: Scalar
    choices: Mapping[Scalar, Any]

    def suggest(self, trial: Trial) -> None:
        """Have `trial` settle on a value, unless it has."""
        match self.distribution:
            case FloatDistribution() as of:
                trial.suggest_float(self.path, of.low, of.high, step=of.step, log=of.log)
            case IntDistribution() as of:
                trial.suggest_int(self.path, of.low, of.high, step=of.step, log=of.log)
            case CategoricalDistribution() as of:
                trial.suggest_categorical(self.path, of.choices)

    def value(self, parameter: Scalar) -> Any:
        """The field's value for what Optuna stores."""
        return self.choices.get(parameter, parameter) if self.choices else parameter


@dataclass(frozen=True)
class Space:
    """Every field that is searched."""

    dimensions: tuple[Dimension, ...]

    @cached_property
    def defaults(self) -> dict[str, Scalar]:
        """The recipe's own place in the space."""
        return {dimension.path: dimension.default for dimension in self.dimensions}

    def settings(self, parameters: Mapping[str, Scalar]) -> tuple[str, ...]:
        """`parameters` as ``path=value`` overrides; sections and kinds come before the fields below them."""
        ordered = sorted(self.dimensions, key=lambda each: (each.path.count("."), not each.path.endswith(".kind")))
        return tuple(
            f"{each.path}={write_value(each.value(parameters[each.path]))}"
            for each in ordered
            if each.path in parameters
        )


def write_value(value: Any) -> str:
    """`value` as YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=_NO_LIMIT, allow_unicode=True, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def space_yaml(content: Mapping[str, Any], space: Space) -> str:
    """`content` as the text of a search-space file, with the recipe's own values beside it."""
    lines = [f"{path}: {write_value(entry)}" for path, entry in content.items()]
    width = max(map(len, lines))
    defaults = (dimension.value(dimension.default) for dimension in space.dimensions)
    return "".join(
        f"{line:<{width}}  # {write_value(default)}\n" for line, default in zip(lines, defaults, strict=True)
    )


def read_space(path: Path) -> dict[str, Any]:
    """The content of a search-space file.

    Raises:
        ConfigError: it cannot be read, or is no mapping from field to range or list.
    """
    source = f"--space {path}"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not content or not all(isinstance(name, str) for name in content):
        raise ConfigError(
            f"{source}: a mapping is needed, e.g. generator_optimizer.learning_rate: "
            "{low: 1.0e-4, high: 1.0e-2, log: true}"
        )
    return content


def parse_space(content: Mapping[str, Any], recipe: Recipe, source: str) -> Space:
    """The space of `content`, every bound and choice of which `recipe` has to accept.

    Args:
        source: what error messages begin with.

    Raises:
        ConfigError: an unknown field (the nearest one is suggested), a value its field refuses, or a space that
            does not hold the recipe's own value.
    """
    return Space(tuple(_dimension(recipe, path, entry, f"{source}: {path}") for path, entry in content.items()))


def _dimension(recipe: Recipe, path: str, entry: Any, source: str) -> Dimension:
    if path.split(".", maxsplit=1)[0] == "data":
        raise ConfigError(f"{source}: trials are compared on the same images; --set changes them for all")
    if isinstance(entry, list):
        return _choices(recipe, path, entry, source)
    if isinstance(entry, dict):
        return _range(recipe, path, parse(Range, entry, source), source)
    raise ConfigError(f"{source}: {{low: …, high: …}} or a list of choices is needed, got {entry!r:.60}")


def _choices(recipe: Recipe, path: str, entry: Sequence[Any], source: str) -> Dimension:
    values = [_accepted(recipe, path, value, source) for value in entry]
    choices = {_stored(value): value for value in values}
    default = _own_value(recipe, path, source)
    if _stored(default) not in choices:
        raise ConfigError(
            f"{source}: the recipe's own {write_value(default)} is not among the choices; add it, for the search "
            "begins with it"
        )
    if len(choices) < 2:
        raise ConfigError(f"{source}: two different choices at least are needed")
    return Dimension(path, CategoricalDistribution(tuple(choices)), _stored(default), choices)


def _range(recipe: Recipe, path: str, entry: Range, source: str) -> Dimension:
    low = _accepted(recipe, path, entry.low, f"{source}: low")
    high = _accepted(recipe, path, entry.high, f"{source}: high")
    default = _own_value(recipe, path, source)
    for value in (low, high, default):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{source}: {write_value(value)} is no number; write a list of choices")
    if not low <= default <= high:
        raise ConfigError(
            f"{source}: the recipe's own {default:g} is not between {low:g} and {high:g}; widen the range, for the "
            "search begins with it"
        )
    whole, step = all(isinstance(value, int) for value in (low, high, default)), entry.step
    if step is not None and whole and not step.is_integer():
        raise ConfigError(f"{source}: step {step:g} of a field of integers")
    if step is not None and abs((default - low) / step - round((default - low) / step)) > _GRID_TOLERANCE:
        raise ConfigError(
            f"{source}: the recipe's own {default:g} is no number of steps of {step:g} from {low:g}; the search "
            "begins with it"
        )
    if whole:
        return Dimension(path, IntDistribution(low, high, log=entry.log, step=int(step or 1)), default, {})
    return Dimension(path, FloatDistribution(low, high, log=entry.log, step=step), default, {})


def _accepted(recipe: Recipe, path: str, value: Any, source: str) -> Any:
    """`value` as the field holds it."""
    return value_at(with_value(recipe, path, value, source), path)


def _own_value(recipe: Recipe, path: str, source: str) -> Any:
    try:
        return value_at(recipe, path)
    except KeyError as error:
        raise ConfigError(f"{source}: the recipe itself has no such entry, and the search begins with it") from error


def _stored(value: Any) -> Scalar:
    """How Optuna keeps a choice: sections and lists as JSON."""
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value, sort_keys=True)
