"""The recipes that ship with latentd, by name. Reading their text needs no torch."""

from importlib.resources import files

import yaml

from trainer.config import suggestion
from trainer.errors import ConfigError

_SUFFIX = ".yaml"


def recipe_names() -> list[str]:
    """Every recipe, sorted."""
    return sorted(
        entry.name.removesuffix(_SUFFIX) for entry in files(__name__).iterdir() if entry.name.endswith(_SUFFIX)
    )


def recipe_text(name: str) -> str:
    """The YAML text of recipe `name`.

    Raises:
        ConfigError: unknown, with the nearest name and all there are.
    """
    if name not in recipe_names():
        raise ConfigError(f"no recipe {name!r}{suggestion(name, recipe_names())}")
    return (files(__name__) / f"{name}{_SUFFIX}").read_text(encoding="utf-8")


def recipe_description(name: str) -> str:
    """The one-sentence description of recipe `name`."""
    return " ".join(str(yaml.safe_load(recipe_text(name))["description"]).split())
