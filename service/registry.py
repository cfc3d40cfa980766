"""Which versions are served: found in the store, verified, warmed up, swapped in under traffic.

The newest version of a model that verifies is the one its bare name means; a version that is refused leaves the
one being served untouched. Older versions are loaded when somebody asks for them by ``name@version``, and a few of
them stay. A request holds the `ServedModel` it began with, so it ends on that version whatever is swapped meanwhile.
"""

import asyncio
import difflib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from runtime.errors import PackageError
from runtime.generator import Generator
from runtime.manifest import Manifest, Precision
from runtime.package import Package
from runtime.providers import CPU
from runtime.store import ModelStore
from service.batcher import Batcher
from service.errors import InvalidRequest, NotFound, NotReady
from service.lanes import Lane
from service.metrics import Metrics

_LOG = logging.getLogger(__name__)

_OTHER_VERSIONS = 4  # loaded beside those that bare names mean

_FASTEST_FIRST: dict[bool, tuple[Precision, ...]] = {
    True: ("int8", "fp32", "fp16"),  # CPU: fp16 is storage only
    False: ("fp16", "fp32", "int8"),
}


@dataclass(frozen=True)
class ServedModel:
    """A loaded version: one lane per precision."""

    manifest: Manifest
    lanes: dict[Precision, Lane]

    @property
    def name(self) -> str:
        """Model name."""
        return self.manifest.name

    @property
    def version(self) -> int:
        """Version number."""
        return self.manifest.version

    def lane(self, precision: str) -> Lane:
        """The lane of `precision`; ``auto`` is the fastest published one for this device.

        Raises:
            InvalidRequest: the package has no such precision.
        """
        if precision == "auto":
            on_cpu = next(iter(self.lanes.values())).generator.provider == CPU
            return next(self.lanes[choice] for choice in _FASTEST_FIRST[on_cpu] if choice in self.lanes)
        for name, lane in self.lanes.items():
            if name == precision:
                return lane
        raise InvalidRequest.field(
            "precision", precision, f"auto, {', '.join(self.lanes)} for {self.manifest.reference}"
        )


class Registry:
    """Models of one store, by name and version."""

    def __init__(
        self,
        store: ModelStore,
        batcher: Batcher,
        metrics: Metrics,
        default_model: str | None,
        *,
        wide_threads: int = 1,
    ) -> None:
        """`wide_threads`: cores of a call that has the device to itself; 1: such a call is like any other."""
        self._wide_threads = wide_threads
        self._store = store
        self._batcher = batcher
        self._metrics = metrics
        self._default = default_model
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
            serving = self._served.get(name)
            if serving is not None and serving.version not in versions:
                del self._served[name]
                serving, changed = None, True
            for version in reversed(versions):
                if serving is not None and version <= serving.version:
                    break
                loaded = await self._load(name, version)
                if loaded is not None:
                    self._served[name] = loaded
                    _LOG.info("serving %s (%s)", loaded.manifest.reference, ", ".join(loaded.lanes))
                    changed = True
                    break
        for name in set(self._served) - set(self._versions):
            del self._served[name]
            changed = True
        self._scanned = True
        self._unload_unused()
        if changed:
            for listener in self._listeners:
                listener()

    async def poll(self, seconds: float) -> None:
        """`refresh` for ever, every `seconds`."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.refresh()
            except Exception:  # noqa: BLE001 - the loop outlives a store that is gone for a while
                _LOG.exception("the model store cannot be read; serving what is loaded")

    async def get(self, reference: str | None) -> ServedModel:
        """The model that ``name``, ``name@version`` or None (the default) means, loading it if need be.

        Raises:
            NotFound: no such model or version, or it was refused (with the reason).
            InvalidRequest: no model named and there is no default.
            NotReady: the first scan of the store is not over.
        """
        name, version = self._parse(reference)
        if version is None:
            served = self._served.get(name)
            if served is not None:
                return served
        elif (loaded := self._loaded.pop((name, version), None)) is not None:
            self._loaded[name, version] = loaded  # now the one used last
            return loaded
        if not self._scanned:
            raise NotReady("models are still being loaded", retry_after_s=1.0)
        if version is None:
            raise self._unknown(name)
        if version in self._versions.get(name, ()):
            found = await self._load(name, version)
            self._unload_unused()
            if found is not None:
                return found
        raise self._unknown(name, version)

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
        name, at, version = reference.partition("@")
        if not at:
            return name, None
        if not version.isascii() or not version.isdecimal() or len(version) > 10:
            raise InvalidRequest.field("model", reference, "name, or name@version with an integer version")
        return name, int(version)

    def _unknown(self, name: str, version: int | None = None) -> NotFound:
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
        near = difflib.get_close_matches(name, self._served, 1)
        advice = f" (did you mean {near[0]}?)" if near else ""
        known = ", ".join(sorted(self._served)) or "none, the store is empty"
        asked = name if version is None else f"{name}@{version}"
        return NotFound(f"model: got {asked!r:.80}{advice}; allowed: {known}", param="model")

    def _forget_deleted(self) -> None:
        """Drop what the store no longer holds: the same number may come back with other content."""
        for name, version in [*self._loaded, *self._refused]:
            if version in self._versions.get(name, ()):
                continue
            if self._refused.pop((name, version), None) is not None:
                self._metrics.model_state.remove(name, str(version), "refused")
            else:
                self._unload(name, version)

    def _unload_unused(self) -> None:
        """Keep a few versions that only ``name@version`` means, those used last; requests in flight keep theirs."""
        others = [key for key, model in self._loaded.items() if self._served.get(key[0]) is not model]
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
                model = await asyncio.to_thread(self._open, name, version)
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

    def _open(self, name: str, version: int) -> ServedModel:
        package = self._store.open(name, version)
        lanes = {precision: self._open_lane(package, precision) for precision in package.manifest.precisions}
        return ServedModel(package.manifest, lanes)

    def _open_lane(self, package: Package, precision: Precision) -> Lane:
        generator, wide = Generator(package, precision), None
        reproducible = package.manifest.precisions[precision].reproducible
        if self._wide_threads > 1 and generator.provider == CPU and reproducible:
            wide = Generator(package, precision, threads=self._wide_threads)
        return self._batcher.open_lane(generator, wide)


def _info_labels(model: ServedModel) -> tuple[str, str, str, str]:
    return model.name, str(model.version), model.manifest.family, ",".join(sorted(model.lanes))
