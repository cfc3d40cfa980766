"""How far the images of one precision lie from those of its reference."""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Parity, Precision
from trainer.probes import Probe

# Mean difference in 8-bit levels that another processor's arithmetic may make; int8 rounds at many steps.
TOLERANCE: dict[Precision, float] = {"fp32": 0.5, "fp16": 1.0, "int8": 3.0}


class Sampler(Protocol):
    """A graph that draws images in batches, see `trainer.export.GraphSession`."""

    def __call__(self, latents: NDArray[np.float32], labels: NDArray[np.int64], batch: int = ...) -> NDArray[np.uint8]:
        """Images uint8 ``[n, …]``."""
        ...


def compare(
    images: NDArray[np.uint8], reference: NDArray[np.uint8], against: Literal["torch", "fp32", "parent"]
) -> Parity:
    """Differences in 8-bit levels over two arrays of the same shape ``[n, …]``.

    The signal-to-noise ratio is 10 log₁₀(255² / mean squared difference); None where there is no difference.
    """
    assert images.shape == reference.shape
    difference = images.astype(np.float64) - reference
    mean_square = float(np.square(difference).mean())
    return Parity(
        against=against,
        images=len(images),
        max_abs=int(np.abs(difference).max()),
        mean_abs=float(np.abs(difference).mean()),
        psnr_db=None if mean_square == 0 else float(10 * np.log10(255**2 / mean_square)),
    )


def is_reproducible(session: Sampler, probe: Probe) -> bool:
    """Whether images are the same bits in batches of any size and at any place in them."""
    together = session(probe.latents, probe.labels)
    turned = session(probe.latents[::-1].copy(), probe.labels[::-1].copy())[::-1]
    others = (session(probe.latents, probe.labels, batch=batch) for batch in (1, 3))
    return all(np.array_equal(images, together) for images in (turned, *others))
