"""Which versions are served: found in the store, verified, warmed up, swapped in under traffic.

The newest version of a model that verifies is the one its bare name means; a version that is refused leaves the
one being served untouched. Older versions are loaded when somebody asks for them by ``name@version``, and a few of
them stay, and all that an alias stands for. A request holds the `ServedModel` it began with, so it ends on that version
whatever is swapped meanwhile.
"""

import asyncio
import difflib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from runtime.errors import PackageError
from runtime.store import ModelStore
from service.aliases import ALIAS_NAME, Alias, AliasTable
from service.batcher import Batcher
from service.errors import Conflict, InvalidRequest, NotFound, NotReady
from service.metrics import Metrics
from service.served_models import Opener, ServedModel
from service.trials import Trials

_LOG = logging.getLogger(__name__)

_OTHER_VERSIONS = 4  # loaded beside those that bare names mean


@dataclass(frozen=True)
class StoredVersion:
    """A version in the store, and whether it is loaded; `reason` says why it is not."""

    name: str
    version: int
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = ""


class Registry:
    """Models of one store, by name, version and alias."""

    def __init__(
        self,
        store: ModelStore,
        batcher: Batcher,
        metrics: Metrics,
        default_model: str | None,
        aliases: AliasTable | None = None,
        *,
        trials: Trials | None = None,
        wide_threads: int = 1,
    ) -> None:
        """See `service.served_models.Opener` for `trials` and `wide_threads`."""
        self._store = store
        self._opener = Opener(store, batcher, trials=trials, wide_threads=wide_threads)
        self._metrics = metrics
        self._default = default_model
        self._aliases = aliases or AliasTable()
        self._unloaded: set[str] = set()  # names that an operator has taken away
        self._served: dict[str, ServedModel] = {}  # the version that a bare name means
        self._loaded: dict[tuple[str, int], ServedModel] = {}
        self._versions: dict[str, list[int]] = {}
        self._refused: dict[tuple[str, int], str] = {}
        self._loading = asyncio.Lock()
        self._scanned = False
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` after every scan that changed what is served."""
        self._listeners.append(listener)

    async def refresh(self) -> None:
        """Look at the store and serve the newest version of each model that verifies; forget what was deleted."""
        self._versions = await asyncio.to_thread(self._store.versions)
        changed = not self._scanned
        self._forget_deleted()
        for name, versions in self._versions.items():
            if name in self._unloaded:
                continue
            serving = self._served.get(name)
            if serving is not None and serving.version not in versions:
                del self._served[name]
                serving, changed = None, True
            for version in reversed(versions):
                if serving is not None and version <= serving.version:
                    break
                loaded = await self._load(name, version)
                if loaded is not None and name not in self._unloaded:  # it may have been, meanwhile
                    self._served[name] = loaded
                    _LOG.info("serving %s (%s)", loaded.manifest.reference, ", ".join(loaded.lanes))
                    changed = True
                    break
        for name in set(self._served) - set(self._versions):
            del self._served[name]
            changed = True
        for name, version in self._aliases.targets():
            if version in self._versions.get(name, ()) and name not in self._unloaded:
                await self._load(name, version)
        self._scanned = True
        self._unload_unused()
        if changed:
            self._tell_listeners()

    async def poll(self, seconds: float) -> None:
        """`refresh` for ever, every `seconds`."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001 - the loop outlives a store that is gone for a while
                _LOG.exception("the model store cannot be read; serving what is loaded")

    async def get(self, reference: str | None) -> ServedModel:
        """The model that ``name``, ``name@version``, an alias or None (the default) means, loading it if need be.

        Raises:
            NotFound: no such model or version, or it was refused (with the reason).
            InvalidRequest: no model named and there is no default.
            NotReady: the first scan of the store is not over.
        """
        name, version = self._parse(reference)
        if (loaded := self._find(name, version)) is not None:
            return loaded
        if not self._scanned:
            raise NotReady("models are still being loaded", retry_after_s=1.0)
        if version is None:
            raise self._unknown(name)
        if version in self._versions.get(name, ()) and name not in self._unloaded:
            found = await self._load(name, version)
            self._unload_unused()
            if found is not None:
                return found
        raise self._unknown(name, version)

    def find(self, reference: str | None) -> ServedModel | None:
        """As `get`; None where that would load it or raise `NotFound`.

        Raises:
            ServiceError: see `get`.
        """
        return self._find(*self._parse(reference))

    def _find(self, name: str, version: int | None) -> ServedModel | None:
        if version is None:
            return self._served.get(name)
        if (loaded := self._loaded.pop((name, version), None)) is not None:
            self._loaded[name, version] = loaded  # now the one used last
        return loaded

    async def load(self, name: str) -> ServedModel:
        """Serve `name` again after `unload`, or at once what the store has newly got; refused versions are retried.

        Raises:
            NotFound: the store has no version of it that verifies.
        """
        self._unloaded.discard(name)
        for refused in [key for key in self._refused if key[0] == name]:
            self._forget_refusal(*refused)
        await self.refresh()
        if name not in self._served:
            raise self._unknown(name)
        return self._served[name]

    def unload(self, name: str) -> None:
        """Take every version of `name` away until `load`; requests in flight end on theirs.

        Raises:
            NotFound: it is not being served.
        """
        if name not in self._served:
            raise self._unknown(name)
        self._unloaded.add(name)
        del self._served[name]
        for loaded in [key for key in self._loaded if key[0] == name]:
            self._unload(*loaded)
        self._tell_listeners()

    async def delete(self, reference: str) -> None:
        """Remove the version that ``name@version`` names from the store; requests in flight end on it.

        Raises:
            InvalidRequest: no version is named.
            NotFound: it is not in the store.
            Conflict: an alias stands for it.
        """
        name, _, number = reference.partition("@")
        if not number.isascii() or not number.isdecimal() or len(number) > 10:
            raise InvalidRequest.field("model", reference, "name@version: one version at a time")
        version = int(number)
        if version not in self._versions.get(name, ()):
            raise self._unknown(name, version)
        for alias, meaning in self.aliases().items():
            if (name, version) in meaning.targets():
                raise Conflict(f"model: the alias {alias} stands for {reference}; delete it first", param="model")
        await asyncio.to_thread(self._store.delete, name, version)
        await self.refresh()

    def stored(self) -> list[StoredVersion]:
        """Every version in the store by name and number."""
        return [
            self._describe(name, version) for name, versions in sorted(self._versions.items()) for version in versions
        ]

    def loaded(self, name: str) -> list[ServedModel]:
        """The loaded versions of `name`, ascending."""
        return [self._loaded[key] for key in sorted(self._loaded) if key[0] == name]

    def aliases(self) -> dict[str, Alias]:
        """Every alias by its name."""
        return self._aliases.all()

    def alias(self, name: str) -> Alias:
        """What an alias stands for.

        Raises:
            NotFound: there is no such alias.
        """
        found = self._aliases.get(name)
        if found is None:
            known = ", ".join(self._aliases.all()) or "none is set"
            raise NotFound(f"alias: got {name!r:.80}; allowed: {known}", param="alias")
        return found

    async def set_alias(self, name: str, alias: Alias) -> None:
        """Set or replace an alias once all that it stands for is loaded.

        Raises:
            InvalidRequest: the name is none.
            Conflict: a model has this name.
            NotFound: a target is not in the store, or was refused.
        """
        if not ALIAS_NAME.fullmatch(name):
            raise InvalidRequest.field("alias", name, f"a name that matches {ALIAS_NAME.pattern}")
        if name in self._versions:
            raise Conflict(f"alias: got {name!r:.80}, which is a model; allowed: any other name", param="alias")
        for target, version in alias.targets():
            await self.get(f"{target}@{version}")
        await asyncio.to_thread(self._aliases.put, name, alias)

    async def delete_alias(self, name: str) -> None:
        """Remove an alias.

        Raises:
            NotFound: there is no such alias.
        """
        self.alias(name)
        await asyncio.to_thread(self._aliases.delete, name)

    def served(self) -> list[ServedModel]:
        """What each bare name means now, by name."""
        return [self._served[name] for name in sorted(self._served)]

    def versions(self, name: str) -> list[int]:
        """Versions of `name` in the store that have not been refused, ascending."""
        return [version for version in self._versions.get(name, ()) if (name, version) not in self._refused]

    def refused(self) -> dict[str, str]:
        """``name@version`` → reason for every version that did not verify."""
        return {f"{name}@{version}": reason for (name, version), reason in sorted(self._refused.items())}

    @property
    def ready(self) -> bool:
        """The first scan is over and at least one model is served."""
        return self._scanned and bool(self._served)

    @property
    def why_not_ready(self) -> str:
        """One sentence for the readiness probe."""
        if not self._scanned:
            return "models are still being loaded"
        if self._refused and not self._served:
            return f"every package was refused: {self.refused()}"
        return "the store holds no model yet" if not self._served else ""

    def _parse(self, reference: str | None) -> tuple[str, int | None]:
        if not reference:
            if self._default:
                reference = self._default
            elif not self._scanned:
                raise NotReady("models are still being loaded", retry_after_s=1.0)
            elif len(self._served) == 1:
                return next(iter(self._served)), None
            else:
                raise InvalidRequest.field("model", reference, f"one of {', '.join(sorted(self._served)) or 'none'}")
        if reference not in self._versions:  # a model's own name goes before an alias
            reference = self._aliases.choose(reference) or reference
        name, at, version = reference.partition("@")
        if not at:
            return name, None
        if not version.isascii() or not version.isdecimal() or len(version) > 10:
            raise InvalidRequest.field("model", reference, "name, or name@version with an integer version")
        return name, int(version)

    def _unknown(self, name: str, version: int | None = None) -> NotFound:
        if name in self._unloaded:
            return NotFound(
                f"model: {name} was unloaded; load it with /v2/repository/models/{name}/load", param="model"
            )
        reasons = [
            f"{name}@{number} was refused: {reason}"
            for (refused, number), reason in sorted(self._refused.items())
            if refused == name and version in (None, number)
        ]
        if reasons:
            return NotFound(f"model: {'; '.join(reasons)}", param="model")
        if name in self._served:
            versions = ", ".join(map(str, self.versions(name)))
            return NotFound(f"model: got '{name}@{version}'; allowed: versions {versions} of {name}", param="model")
        names = [*sorted(self._served), *self._aliases.all()]
        near = difflib.get_close_matches(name[:80], names, 1)
        advice = f" (did you mean {near[0]}?)" if near else ""
        known = ", ".join(names) or "none, the store is empty"
        asked = name if version is None else f"{name}@{version}"
        return NotFound(f"model: got {asked!r:.80}{advice}; allowed: {known}", param="model")

    def _forget_deleted(self) -> None:
        """Drop what the store no longer holds: the same number may come back with other content."""
        for name, version in [*self._loaded, *self._refused]:
            if version in self._versions.get(name, ()):
                continue
            if (name, version) in self._refused:
                self._forget_refusal(name, version)
            else:
                self._unload(name, version)

    def _forget_refusal(self, name: str, version: int) -> None:
        del self._refused[name, version]
        self._metrics.model_state.remove(name, str(version), "refused")

    def _unload_unused(self) -> None:
        """Keep a few versions that only ``name@version`` means, those used last; requests in flight keep theirs."""
        kept = self._aliases.targets()
        others = [
            key for key, model in self._loaded.items() if self._served.get(key[0]) is not model and key not in kept
        ]
        for name, version in others[: max(0, len(others) - _OTHER_VERSIONS)]:
            self._unload(name, version)

    def _unload(self, name: str, version: int) -> None:
        model = self._loaded.pop((name, version))
        self._metrics.model_state.remove(name, str(version), "ready")
        self._metrics.model_info.remove(*_info_labels(model))

    async def _load(self, name: str, version: int) -> ServedModel | None:
        async with self._loading:
            key = (name, version)
            if key in self._loaded or key in self._refused:
                return self._loaded.get(key)
            try:
                model = await asyncio.to_thread(self._opener.open, name, version)
            except PackageError as error:
                self._refuse(name, version, error.reason)
                return None
            except Exception as error:  # noqa: BLE001 - outside data: whatever it causes, the others go on
                _LOG.exception("loading %s@%d failed", name, version)
                self._refuse(name, version, f"cannot be loaded: {type(error).__name__}: {error}")
                return None
            self._loaded[key] = model
            self._metrics.model_state.labels(name, str(version), "ready").set(1)
            self._metrics.model_info.labels(*_info_labels(model)).set(1)
            return model

    def _refuse(self, name: str, version: int, reason: str) -> None:
        self._refused[name, version] = reason
        self._metrics.model_state.labels(name, str(version), "refused").set(1)
        _LOG.error("refused %s@%d: %s", name, version, reason)

    def _describe(self, name: str, version: int) -> StoredVersion:
        if (name, version) in self._loaded:
            return StoredVersion(name, version, "READY")
        if name in self._unloaded:
            reason = "unloaded"
        else:
            reason = self._refused.get((name, version), "not loaded; it will be when it is asked for")
        return StoredVersion(name, version, "UNAVAILABLE", reason)

    def _tell_listeners(self) -> None:
        for listener in self._listeners:
            listener()


def _info_labels(model: ServedModel) -> tuple[str, str, str, str]:
    return model.name, str(model.version), model.manifest.family, ",".join(sorted(model.lanes))
