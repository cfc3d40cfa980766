"""One precision of one package, loaded in onnxruntime and checked against its recorded outputs."""

import io
import logging
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from runtime.errors import PackageCorrupt, PackageUnsupported
from runtime.latents import labels_from_seeds, latents_from_seeds
from runtime.manifest import Precision
from runtime.package import Package
from runtime.providers import CPU, usable_providers

_LOG = logging.getLogger(__name__)
_SPIN_US = "1000"  # twice what a client on the same machine takes to send its next request


class Generator:
    """Runs `latents` (and labels) to images. Thread-safe; `run` releases the interpreter lock.

    On the CPU each call uses one thread: throughput comes from one caller per core on this one session. With more
    threads one call alone is faster, and the images are the same.
    """

    def __init__(
        self, package: Package, precision: Precision, *, providers: list[str] | None = None, threads: int = 1
    ) -> None:
        """Load the graph of `precision` and run the package's self-test.

        Args:
            threads: of one call, on the CPU.

        Raises:
            PackageCorrupt: a hash differs, onnxruntime refuses the graph, or its outputs are not those recorded.
            PackageUnsupported: the package has no such precision.
        """
        self.package = package
        self.manifest = package.manifest
        self.precision: Precision = precision
        if precision not in self.manifest.precisions:
            raise PackageUnsupported(
                self.manifest.reference, f"has no {precision}, only {', '.join(self.manifest.precisions)}"
            )
        self.conditional = bool(self.manifest.classes)
        wanted = usable_providers() if providers is None else providers
        self._session = open_session(package, self.manifest.precisions[precision].file, wanted, precision, threads)
        self.provider: str = self._session.get_providers()[0]
        if self.provider != wanted[0]:
            _LOG.warning(
                "%s %s: asked for %s, runs on %s",
                self.manifest.reference,
                precision,
                wanted[0],
                self.provider,
            )
        self._self_test()

    def run(self, latents: NDArray[np.float32], labels: NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        """Generate images.

        Args:
            latents: float32 ``[n, latent_dim]``.
            labels: int64 ``[n]`` class indices for a conditional model, else None.

        Returns:
            uint8 ``[n, H, W, C]``, or ``[n, T, H, W, C]`` for a sequence model.
        """
        inputs: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {"latents": latents}
        if self.conditional:
            if labels is None:
                raise ValueError(f"{self.manifest.reference} is conditional: labels are needed")
            inputs["label"] = labels
        images: NDArray[np.uint8] = self._session.run(["images"], inputs)[0]
        return images

    def sample(
        self, seeds: NDArray[np.uint64], labels: NDArray[np.int64] | None = None, truncation: float = 1.0
    ) -> NDArray[np.uint8]:
        """Images of row `seeds`; without `labels` a conditional model takes each row's from its seed."""
        latents = latents_from_seeds(seeds, self.manifest.latent.dim) * np.float32(truncation)
        if self.conditional and labels is None:
            labels = labels_from_seeds(seeds, len(self.manifest.classes))
        return self.run(latents, labels)

    def _self_test(self) -> None:
        name = self.manifest.self_test.file
        wanted = ["seeds", f"images_{self.precision}", *(["labels"] if self.conditional else [])]
        recorded = read_recorded(self.package, wanted)
        seeds, expected, labels = recorded["seeds"], recorded[f"images_{self.precision}"], recorded.get("labels")
        if expected.dtype != np.uint8 or not expected.size:
            raise PackageCorrupt(self.manifest.reference, f"{name} holds no uint8 images_{self.precision}")
        try:
            found = self.sample(seeds, labels)
        except Exception as error:  # as above: what the graph does wrong is the package's fault
            raise PackageCorrupt(self.manifest.reference, f"{self.precision} fails its self-test: {error}") from error
        if found.dtype != np.uint8:
            raise PackageCorrupt(self.manifest.reference, f"{self.precision} yields {found.dtype}, not uint8")
        if found.shape != expected.shape or found.shape[1:] != self.manifest.output.shape:
            raise PackageCorrupt(
                self.manifest.reference,
                f"{self.precision} yields shape {found.shape}, {name} holds {expected.shape}, "
                f"the manifest says {self.manifest.output.shape} per image",
            )
        distance = float(np.abs(found.astype(np.int16) - expected).mean())
        allowed = self.manifest.self_test.tolerance[self.precision]
        if distance > allowed:
            raise PackageCorrupt(
                self.manifest.reference,
                f"{self.precision} differs from {name} by {distance:.2f} levels on average, allowed are {allowed}",
            )
        if self.manifest.precisions[self.precision].reproducible and self.provider == CPU:
            alone = np.concatenate(
                [
                    self.sample(seeds[i : i + 1], None if labels is None else labels[i : i + 1])
                    for i in range(len(seeds))
                ]
            )
            if not np.array_equal(alone, found):
                raise PackageCorrupt(
                    self.manifest.reference,
                    f"{self.precision} is marked reproducible, but its images change with the batch size",
                )


def open_session(
    package: Package, file: str, providers: list[str], what: str, threads: int = 1
) -> onnxruntime.InferenceSession:
    """A checked graph of `package` in onnxruntime; `what` names it in a refusal.

    Raises:
        PackageCorrupt: its hash differs, or onnxruntime refuses it.
    """
    content = package.read_verified(file)
    try:
        return onnxruntime.InferenceSession(content, session_options(threads), providers=providers)
    except Exception as error:  # onnxruntime raises bare classes of its own
        raise PackageCorrupt(package.manifest.reference, f"onnxruntime refuses {what}: {error}") from error


def read_recorded(package: Package, names: list[str]) -> dict[str, NDArray[Any]]:
    """Arrays of the self-test's file.

    Raises:
        PackageCorrupt: the file is damaged, or lacks one of `names`.
    """
    name = package.manifest.self_test.file
    content = package.read_verified(name)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as recorded:
            return {key: recorded[key] for key in names}
    except Exception as error:  # a damaged archive raises whatever its reader stumbles over
        raise PackageCorrupt(package.manifest.reference, f"{name} cannot be read: {error}") from error


def session_options(threads: int = 1) -> onnxruntime.SessionOptions:
    """`threads` per call, which spin during it and a moment longer, all optimizations; errors alone are logged.

    A request that comes alone is often followed by another: threads that sleep meanwhile answer it a sixth later.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if threads > 1 else "0")
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
    options.log_severity_level = 3
    return options
