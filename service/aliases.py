"""Names that stand for a version: ``stable`` → ``digits@3``, with a share of the requests on another (canary).

Kept in `<state>/aliases.json`, written whole or not at all.
"""

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter
from pydantic_core import PydanticCustomError

from runtime.atomic import write_atomic
from service.settings import SettingsError

ALIAS_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

AliasName = Annotated[str, StringConstraints(pattern=rf"^{ALIAS_NAME.pattern}$")]
_REFERENCE = re.compile(rf"^{ALIAS_NAME.pattern}@[1-9][0-9]{{0,9}}$")


def _check_reference(value: str) -> str:
    if not _REFERENCE.fullmatch(value):
        raise PydanticCustomError("reference", "name@version, a model's name and the number of a version")
    return value


Reference = Annotated[str, AfterValidator(_check_reference), Field(json_schema_extra={"pattern": _REFERENCE.pattern})]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Canary(_Model):
    """Another version that takes a share of an alias's requests, each drawn anew."""

    target: Reference = Field(description="name@version")
    weight: float = Field(ge=0, le=1, description="share of the requests, 0 to 1")


class Alias(_Model):
    """What an alias stands for."""

    target: Reference = Field(description="name@version")
    canary: Canary | None = None

    def targets(self) -> list[tuple[str, int]]:
        """Name and version of everything it may stand for."""
        references = [self.target, *([self.canary.target] if self.canary else [])]
        return [(name, int(version)) for name, _, version in (reference.partition("@") for reference in references)]


_ALIASES = TypeAdapter(dict[AliasName, Alias])


class AliasTable:
    """The aliases of one server."""

    def __init__(self, path: Path | None = None, *, draw: Callable[[], float] = random.random) -> None:
        """Read `path`; None keeps the aliases in memory alone.

        Raises:
            SettingsError: the file is not one of aliases.
        """
        self._path = path
        self._draw = draw
        self._aliases: dict[str, Alias] = {}
        if path is not None and path.exists():
            try:
                self._aliases = _ALIASES.validate_json(path.read_bytes())
            except (OSError, ValueError) as error:
                raise SettingsError(f"alias file {path} cannot be read: {type(error).__name__}") from error

    def all(self) -> dict[str, Alias]:
        """Every alias by its name, sorted."""
        return dict(sorted(self._aliases.items()))

    def get(self, name: str) -> Alias | None:
        """What `name` stands for; None where it is no alias."""
        return self._aliases.get(name)

    def choose(self, name: str) -> str | None:
        """``name@version`` for one request to `name`; None where it is no alias."""
        alias = self._aliases.get(name)
        if alias is None:
            return None
        if alias.canary is not None and self._draw() < alias.canary.weight:
            return alias.canary.target
        return alias.target

    def targets(self) -> set[tuple[str, int]]:
        """Every version that an alias may stand for."""
        return {target for alias in self._aliases.values() for target in alias.targets()}

    def put(self, name: str, alias: Alias) -> None:
        """Set or replace an alias, all at once."""
        self._write({**self._aliases, name: alias})

    def delete(self, name: str) -> bool:
        """Remove an alias; False where there is none."""
        if name not in self._aliases:
            return False
        self._write({other: alias for other, alias in self._aliases.items() if other != name})
        return True

    def _write(self, aliases: dict[str, Alias]) -> None:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, _ALIASES.dump_json(aliases, indent=2) + b"\n")
        self._aliases = aliases
