"""A config as YAML with what each field means beside it: `latentd train RECIPE --show`."""

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from trainer.config import Config

_WIDTH = 100


def annotated_yaml(config: Config) -> str:
    """YAML of every field, defaults included, under a comment with the field's docstring; it parses as the config."""
    return "\n".join(_lines(config, 0)).lstrip("\n") + "\n"


def _lines(config: Config, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(config).model_fields.items():
        if depth == 0:
            yield ""
        text = " ".join((field.description or "").split())
        yield from (f"{indent}# {line}" for line in textwrap.wrap(text, _WIDTH - len(indent) - 2))
        value = getattr(config, name)
        if isinstance(value, Config):
            yield from _section(name, value, depth)
        elif isinstance(value, Mapping) and value and all(isinstance(entry, Config) for entry in value.values()):
            yield f"{indent}{name}:"
            for key, entry in value.items():
                yield from _section(key, entry, depth + 1)
        else:
            yield from (f"{indent}{line}" for line in _plain({name: config.model_dump(mode="json")[name]}))


def _section(name: str, config: Config, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if not type(config).model_fields:
        yield f"{indent}{name}: {{}}"
        return
    yield f"{indent}{name}:"
    yield from _lines(config, depth + 1)


def _plain(entry: dict[str, Any]) -> list[str]:
    text: str = yaml.safe_dump(entry, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text.rstrip("\n").split("\n")
