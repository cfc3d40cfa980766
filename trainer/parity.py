"""How far the images of one precision lie from those of its reference."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from runtime.manifest import Parity


def compare(images: NDArray[np.uint8], reference: NDArray[np.uint8], against: Literal["torch", "fp32"]) -> Parity:
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
