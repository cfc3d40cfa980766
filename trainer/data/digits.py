"""The 1,797 handwritten digits that ship with scikit-learn (8×8, grey)."""

import numpy as np

from trainer.data.images import LabelledImages

NAME = "sklearn-digits"


def read_digits() -> LabelledImages:
    """The UCI optical digits (Alpaydin and Kaynak 1998), levels 0 … 16 stretched to 0 … 255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return LabelledImages(
        images=np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None],
        labels=digits.target.astype(np.int64),
        class_names=tuple(str(digit) for digit in range(10)),
    )
