"""A version of a model, loaded: its graphs in lanes of the batcher, and its encoder."""

from dataclasses import dataclass, field
from functools import cached_property
from math import prod

from runtime.encoder import Encoder
from runtime.generator import Generator
from runtime.manifest import Manifest, Precision
from runtime.package import Package
from runtime.providers import CPU
from runtime.store import ModelStore
from service.batcher import Batcher
from service.errors import InvalidRequest
from service.lanes import Lane
from service.statistics import RequestStatistics
from service.trials import Trials

_WORTH_IT = 1.1  # less is noise, and fp32 is what the others are copies of
# Images per second over those of fp32 where a package does not say: as static int8 and fp16 storage measure.
_PRESUMED: dict[bool, dict[Precision, float]] = {
    True: {"int8": 2.5, "fp32": 1.0, "fp16": 1.0},
    False: {"fp16": 1.0, "fp32": 1.0, "int8": 0.5},
}


@dataclass(frozen=True)
class ServedModel:
    """A loaded version: one lane per precision, and the encoder of a package that has one."""

    manifest: Manifest
    lanes: dict[Precision, Lane]
    encoder: Encoder | None = None
    statistics: RequestStatistics = field(default_factory=RequestStatistics)

    @property
    def name(self) -> str:
        """Model name."""
        return self.manifest.name

    @property
    def version(self) -> int:
        """Version number."""
        return self.manifest.version

    @cached_property
    def version_text(self) -> str:
        """The same in digits."""
        return str(self.manifest.version)

    @cached_property
    def reference(self) -> str:
        """``name@version``."""
        return self.manifest.reference

    @cached_property
    def image_bytes(self) -> int:
        """Pixels of one image or sequence, in bytes."""
        return prod(self.manifest.output.shape)

    @cached_property
    def _auto(self) -> Lane:
        on_cpu = next(iter(self.lanes.values())).generator.provider == CPU
        return self.lanes[fastest(self.manifest, on_cpu=on_cpu)]

    def lane(self, precision: str) -> Lane:
        """The lane of `precision`; ``auto`` is the fastest published one for this device.

        Raises:
            InvalidRequest: the package has no such precision.
        """
        if precision == "auto":
            return self._auto
        for name, lane in self.lanes.items():
            if name == precision:
                return lane
        raise InvalidRequest.field(
            "precision", precision, f"auto, {', '.join(self.lanes)} for {self.manifest.reference}"
        )


class Opener:
    """Loads versions out of one store into one batcher."""

    def __init__(
        self, store: ModelStore, batcher: Batcher, *, trials: Trials | None = None, wide_threads: int = 1
    ) -> None:
        """
        Args:
            trials: of packages, before they are loaded; None: there are none.
            wide_threads: cores of a call that has the device to itself; 1: such a call is like any other.
        """
        self._store = store
        self._trials = trials
        self._batcher = batcher
        self._wide_threads = wide_threads

    def open(self, name: str, version: int) -> ServedModel:
        """Load, verify and warm up a version. Blocks; call it off the event loop.

        Raises:
            PackageError: it does not verify, with the reason.
        """
        package = self._store.open(name, version)
        if self._trials is not None:
            self._trials.check(package)
        lanes = {precision: self._open_lane(package, precision) for precision in package.manifest.precisions}
        return ServedModel(package.manifest, lanes, Encoder(package) if package.manifest.encoder else None)

    def _open_lane(self, package: Package, precision: Precision) -> Lane:
        generator, wide = Generator(package, precision), None
        reproducible = package.manifest.precisions[precision].reproducible
        if self._wide_threads > 1 and generator.provider == CPU and reproducible:
            wide = Generator(package, precision, threads=self._wide_threads)
        return self._batcher.open_lane(generator, wide)


def fastest(manifest: Manifest, *, on_cpu: bool) -> Precision:
    """What ``auto`` means: fp32, unless another precision is worth it on this device.

    One that is not reproducible or was published below its bar has to be asked for by name, unless there is no other.
    Speeds are those that the package's maker measured on a processor; on a GPU they say nothing.
    """
    sound = [name for name, entry in manifest.precisions.items() if entry.reproducible and not entry.missed()]
    speeds = {name: _PRESUMED[on_cpu][name] for name in sound or manifest.precisions}
    if on_cpu:
        speeds |= {name: manifest.precisions[name].speed or speeds[name] for name in speeds if name != "fp32"}
    best = max(speeds, key=lambda name: speeds[name])
    return "fp32" if "fp32" in speeds and speeds[best] < _WORTH_IT else best
