"""The encoder of a package, for models that can read images as well as make them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import PackageCorrupt, PackageUnsupported
from runtime.generator import open_session, read_recorded
from runtime.package import Package
from runtime.providers import usable_providers


class Encoder:
    """Runs images to the means of their latents, which the generator turns into reconstructions. Thread-safe."""

    def __init__(self, package: Package, *, providers: list[str] | None = None) -> None:
        """Load the graph and compare it with its recorded outputs.

        Raises:
            PackageUnsupported: the package has no encoder.
            PackageCorrupt: a hash differs, onnxruntime refuses the graph, or its outputs are not those recorded.
        """
        self.package = package
        self.manifest = package.manifest
        entry = self.manifest.encoder
        if entry is None:
            raise PackageUnsupported(self.manifest.reference, "has no encoder: it makes images, and reads none")
        wanted = usable_providers() if providers is None else providers
        self._session = open_session(package, entry.file, wanted, "the encoder")
        self._self_test(entry.tolerance)

    def run(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Find latents.

        Args:
            images: uint8 ``[n, H, W, C]`` of the size the model makes, or ``[n, T, H, W, C]`` for sequences.

        Returns:
            float32 ``[n, latent_dim]``.

        Raises:
            ValueError: images of another type or size.
        """
        expected = self.manifest.output.shape
        if images.dtype != np.uint8 or images.shape[1:] != expected:
            raise ValueError(f"images: got {images.dtype} {list(images.shape)}; allowed: uint8 [n, *{list(expected)}]")
        latents: NDArray[np.float32] = self._session.run(["latents"], {"images": images})[0]
        return latents

    def _self_test(self, tolerance: float) -> None:
        reference, name = self.manifest.reference, self.manifest.self_test.file
        recorded: dict[str, NDArray[Any]] = read_recorded(self.package, ["images_fp32", "encoder_latents"])
        expected = recorded["encoder_latents"]
        try:
            found = self.run(recorded["images_fp32"])
        except Exception as error:  # what the graph does wrong is the package's fault
            raise PackageCorrupt(reference, f"the encoder fails its self-test: {error}") from error
        shape = (len(recorded["images_fp32"]), self.manifest.latent.dim)
        if found.dtype != np.float32 or found.shape != shape or expected.shape != shape:
            raise PackageCorrupt(
                reference, f"the encoder yields {found.dtype} {found.shape}, {name} holds {expected.shape}, not {shape}"
            )
        distance = float(np.abs(found - expected).mean())
        if not distance <= tolerance:
            raise PackageCorrupt(
                reference, f"the encoder differs from {name} by {distance:.3f} on average, allowed are {tolerance}"
            )
