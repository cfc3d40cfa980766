"""Row seed → latent, label: the same numbers on every machine and in every batch.

One image's latent depends on its row seed alone. The generator is Philox4x64-10 (Salmon et al. 2011,
"Parallel random numbers: as easy as 1, 2, 3"), whose raw stream NumPy guarantees (NEP 19), keyed by the
seed; pairs of normal numbers come from each 64-bit word by Box and Muller (1958). The whole recipe, for a
client that wants the same latent::

    words = np.random.Philox(key=seed).random_raw((dim + 1) // 2)
    radius = np.sqrt(-2 * np.log(((words >> 32) + 0.5) / 2**32))
    angle = 2 * np.pi * ((words & 0xFFFFFFFF) / 2**32)
    latent = np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).ravel()[:dim].astype(np.float32)

A conditional model asked for no label takes it from the same seed, from a part of the stream that no latent
reaches::

    label = np.random.Philox(key=seed, counter=[0, 0, 0, 1]).random_raw() % classes

Truncation ψ in (0, 1] scales the latent towards the origin: ``latent * np.float32(ψ)``.
"""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_SEED = 2**53 - 1
"""The largest row seed: every integer up to it is exact in a JSON reader that uses doubles."""

_TWO_32 = 2.0**32
_ONE_BY_ONE = 32
"""Words up to which each is asked for by itself: an array of them is drawn without Python's global lock, and in a busy
process to get that back takes far longer than the drawing."""


class _Stream(threading.local):
    """One generator per thread, set to a row's key for each row: making one costs ten times as much."""

    def __init__(self) -> None:
        self._philox = np.random.Philox(key=0)

    def label_word(self, seed: int) -> int:
        """The word that the label of row `seed` is drawn from."""
        self._begin(seed, of_label=True)
        return int(self._philox.random_raw())

    def words(self, seed: int, count: int) -> NDArray[np.uint64]:
        """The first `count` words of the latent of row `seed`."""
        self._begin(seed, of_label=False)
        if count <= _ONE_BY_ONE:
            word = self._philox.random_raw
            return np.array([word() for _ in range(count)], dtype=np.uint64)
        words: NDArray[np.uint64] = self._philox.random_raw(count)
        return words

    def _begin(self, seed: int, *, of_label: bool) -> None:
        state: Any = {  # which NumPy declares as arrays, and reads element by element
            "bit_generator": "Philox",
            "state": {"counter": (0, 0, 0, int(of_label)), "key": (seed, 0)},
            "buffer": (0, 0, 0, 0),
            "buffer_pos": 4,  # all four used up
            "has_uint32": 0,
            "uinteger": 0,
        }
        self._philox.state = state


_STREAM = _Stream()


def row_seeds(seed: int, n: int) -> NDArray[np.uint64]:
    """The row seeds ``seed, seed + 1, …, seed + n - 1`` of a request, shape ``[n]``.

    Raises:
        ValueError: the range is not within 0 … `MAX_SEED`.
    """
    if not 0 <= seed <= seed + n - 1 <= MAX_SEED:
        raise ValueError(f"seeds {seed} … {seed + n - 1} are not within 0 … {MAX_SEED}")
    return np.arange(seed, seed + n, dtype=np.uint64)


def latents_from_seeds(seeds: Sequence[int] | NDArray[np.uint64], dim: int) -> NDArray[np.float32]:
    """Standard normal latents, float32 ``[len(seeds), dim]``; row *i* depends on ``seeds[i]`` alone."""
    words = np.empty((len(seeds), (dim + 1) // 2), dtype=np.uint64)
    for row, seed in zip(words, seeds, strict=True):
        row[:] = _STREAM.words(int(seed), len(row))
    radius = np.sqrt(-2.0 * np.log(((words >> np.uint64(32)) + 0.5) / _TWO_32))
    angle = 2.0 * np.pi * ((words & np.uint64(0xFFFFFFFF)) / _TWO_32)
    pairs = np.empty((*words.shape, 2), dtype=np.float32)
    pairs[..., 0] = radius * np.cos(angle)
    pairs[..., 1] = radius * np.sin(angle)
    return np.ascontiguousarray(pairs.reshape(len(seeds), 2 * words.shape[1])[:, :dim])


def labels_from_seeds(seeds: Sequence[int] | NDArray[np.uint64], classes: int) -> NDArray[np.int64]:
    """Class indices in 0 … ``classes - 1``, int64 ``[len(seeds)]``; row *i* depends on ``seeds[i]`` alone."""
    return np.array([_STREAM.label_word(int(seed)) % classes for seed in seeds], dtype=np.int64)
