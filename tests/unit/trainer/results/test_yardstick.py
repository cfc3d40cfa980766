"""What all generators are measured with: rows in their order, whatever thread drew them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.results import yardstick
from trainer.results.yardstick import FIRST_SEED, draw


class Echo:
    """Its images are row seed and label."""

    def sample(self, seeds: NDArray[np.uint64], labels: NDArray[np.int64]) -> NDArray[np.uint64]:
        """``[n, 2]``."""
        return np.stack([seeds, labels.astype(np.uint64)], axis=1)


def test_every_row_is_drawn_once_and_in_order() -> None:
    n = 3 * yardstick._ROWS + 1
    generator: Any = Echo()
    drawn = draw(generator, np.arange(n) % 10)
    assert np.array_equal(drawn[:, 0], np.arange(FIRST_SEED, FIRST_SEED + n))
    assert np.array_equal(drawn[:, 1], np.arange(n) % 10)
