"""Names in a recipe to the classes they mean: one line per algorithm, duplicates refused."""

from typing import Any, Generic, TypeVar

from trainer.config import Config, suggestion
from trainer.errors import ConfigError

C = TypeVar("C", bound=Config)


class Registry(Generic[C]):
    """The algorithms of one role, by the `kind` a recipe gives."""

    def __init__(self, role: str) -> None:
        self.role = role
        self._kinds: dict[str, type[C]] = {}

    def register(self, config: type[C]) -> None:
        """Make `config` available under its `kind`.

        Raises:
            ValueError: the kind is taken.
        """
        kind = config.model_fields["kind"].default
        if kind in self._kinds:
            raise ValueError(f"{self.role} {kind!r} is registered twice: {self._kinds[kind]} and {config}")
        self._kinds[kind] = config

    def kinds(self) -> list[str]:
        """The registered names, sorted."""
        return sorted(self._kinds)

    def lookup(self, kind: object) -> type[C]:
        """The config class of `kind`.

        Raises:
            ConfigError: unknown, with the nearest name and all allowed ones.
        """
        if not isinstance(kind, str) or kind not in self._kinds:
            raise ConfigError(f"unknown {self.role} {kind!r}{suggestion(str(kind), self._kinds)}")
        return self._kinds[kind]

    def parse(self, section: Any) -> Any:
        """A recipe section (a mapping with `kind`) as the config it names; a config passes unchanged."""
        if isinstance(section, Config):
            return section
        if not isinstance(section, dict) or "kind" not in section:
            raise ConfigError(f"{self.role}: a mapping with a kind is needed, got {section!r:.60}")
        return self.lookup(section["kind"]).model_validate(section)

    def parse_by_key(self, sections: Any) -> Any:
        """Sections keyed by their kind, as in ``regularizers: {r1: {gamma: 1}}``."""
        if not isinstance(sections, dict):
            raise ConfigError(f"{self.role}: a mapping from kind to fields is needed, got {sections!r:.60}")
        return {
            kind: self.parse({"kind": kind, **fields} if isinstance(fields, dict) else fields or {"kind": kind})
            for kind, fields in sections.items()
        }
