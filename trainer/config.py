"""Typed settings: the base class of every config, overrides, and errors that name field and value."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from trainer.errors import ConfigError


class Config(BaseModel):
    """Base of the configs that live beside their owners: frozen, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


M = TypeVar("M", bound=Config)


def suggestion(name: str, allowed: Iterable[str]) -> str:
    """``; did you mean 'x'? Allowed: x, y`` for an unknown `name`, without the question where nothing is near."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    question = f"; did you mean {near[0]!r}?" if near else "."
    return f"{question} Allowed: {', '.join(names)}"


def parse(kind: type[M], values: Mapping[str, Any], source: str) -> M:
    """`values` as a config of class `kind`.

    Raises:
        ConfigError: the first wrong field, as ``<source>: a.b: what is wrong, got value``.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        where = f"{source}: {field}: " if field else f"{source}: "
        got = "" if first["type"] == "value_error" else f", got {first['input']!r:.60}"
        raise ConfigError(f"{where}{message}{got}") from error


def apply_overrides(config: M, overrides: Iterable[str]) -> M:
    """`config` with every ``path=value`` of `overrides` applied in order; values are read as YAML.

    Setting a section's `kind` drops the fields of the kind it had.

    Raises:
        ConfigError: no ``=``, an unknown field (the nearest one is suggested), or a value its field refuses.
    """
    for override in overrides:
        path, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {override}: write path=value, e.g. --set training.batch_size=32")
        config = with_value(config, path.strip(), _read_value(override, text), f"--set {override}")
    return config


def with_value(config: M, path: str, value: Any, source: str) -> M:
    """`config` with the field at `path`, names joined by dots, set to `value`.

    Setting a section's `kind` drops the fields of the kind it had.

    Args:
        source: what error messages begin with.

    Raises:
        ConfigError: an unknown field (the nearest one is suggested), or a value its field refuses.
    """
    values = config.model_dump(mode="json")
    _assign(config, values, path.split("."), value, source)
    return parse(type(config), values, source)


def value_at(config: Config, path: str) -> Any:
    """What `config` holds at `path`, as it is written in YAML.

    Raises:
        KeyError: no such field.
    """
    value: Any = config.model_dump(mode="json")
    for name in path.split("."):
        value = value[name]
    return value


def to_yaml(config: Config) -> str:
    """The text of `config.yaml`: every field, defaults included."""
    text: str = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Fields that differ between two dumped configs, as ``{path: (old, new)}``."""
    found: dict[str, tuple[Any, Any]] = {}
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found |= differences(before, after, f"{prefix}{key}.")
        elif before != after:
            found[f"{prefix}{key}"] = (before, after)
    return found


def _read_value(override: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not YAML") from error


def _assign(node: Any, values: dict[str, Any], path: list[str], value: Any, source: str) -> None:
    """Set `path` in the dumped `values` of config `node`, checking each name against the config's fields."""
    name, rest = path[0], path[1:]
    if isinstance(node, Config):
        fields = type(node).model_fields
        if name not in fields:
            raise ConfigError(f"{source}: no field {name!r}{suggestion(name, fields)}")
        child = getattr(node, name)
    elif isinstance(node, Mapping):
        child = node.get(name)
        if rest and child is None:
            raise ConfigError(f"{source}: no entry {name!r}{suggestion(name, node)}")
    else:
        raise ConfigError(f"{source}: {name!r} is below a plain value, not a section")
    if rest:
        _assign(child, values[name], rest, value, source)
    elif name == "kind" and value != child:
        values.clear()
        values["kind"] = value
    else:
        if isinstance(child, Config) and not isinstance(value, dict):
            raise ConfigError(
                f"{source}: {name!r} is a section; set one of its fields: "
                f"{', '.join(f'{name}.{field}' for field in type(child).model_fields)}"
            )
        values[name] = value
