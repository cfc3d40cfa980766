"""The documented recipe: row seed → latent and label, reproducible with NumPy alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.latents import MAX_SEED, labels_from_seeds, latents_from_seeds, row_seeds

SEEDS = st.integers(0, MAX_SEED)


GOLDEN = {
    0: [2.916203260421753, 0.6468852758407593, -1.2855403423309326, -1.0902982950210571],
    MAX_SEED: [-0.8879022598266602, 1.009765863418579, -0.47249290347099304, 1.1774932146072388],
}


def recipe(seed: int, dim: int) -> NDArray[np.float32]:
    """The code block of the documentation, letter for letter."""
    words = np.random.Philox(key=seed).random_raw((dim + 1) // 2)
    radius = np.sqrt(-2 * np.log(((words >> 32) + 0.5) / 2**32))
    angle = 2 * np.pi * ((words & 0xFFFFFFFF) / 2**32)
    latent: NDArray[np.float32] = (
        np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1).ravel()[:dim].astype(np.float32)
    )
    return latent


@given(seeds=st.lists(SEEDS, min_size=1, max_size=20), dim=st.integers(1, 257))
def test_the_documented_recipe_gives_the_same_bits(seeds: list[int], dim: int) -> None:
    latents = latents_from_seeds(seeds, dim)
    assert (latents.dtype, latents.shape) == (np.dtype(np.float32), (len(seeds), dim))
    assert latents.flags.c_contiguous
    assert latents.tobytes() == b"".join(recipe(seed, dim).tobytes() for seed in seeds)


def test_the_recipe_never_changes() -> None:
    """Golden numbers: a latent that changes would change every image ever named by its seed."""
    for seed, latent in GOLDEN.items():
        assert latents_from_seeds([seed], 4)[0].tolist() == latent
    assert labels_from_seeds([0, 1, 2, 3, 4, 5, 6, 7, MAX_SEED], 10).tolist() == [6, 3, 3, 7, 9, 8, 6, 3, 6]


@given(seed=SEEDS, before=st.lists(SEEDS, max_size=5), after=st.lists(SEEDS, max_size=5))
def test_a_row_depends_on_its_own_seed_alone(seed: int, before: list[int], after: list[int]) -> None:
    batch, row = [*before, seed, *after], len(before)
    assert np.array_equal(latents_from_seeds(batch, 33)[row], latents_from_seeds([seed], 33)[0])
    assert labels_from_seeds(batch, 7)[row] == labels_from_seeds([seed], 7)[0]


@given(seed=SEEDS, dim=st.integers(1, 64), longer=st.integers(0, 64))
def test_a_shorter_latent_is_the_beginning_of_a_longer_one(seed: int, dim: int, longer: int) -> None:
    assert np.array_equal(latents_from_seeds([seed], dim)[0], latents_from_seeds([seed], dim + longer)[0, :dim])


def test_latents_are_standard_normal() -> None:
    latents = latents_from_seeds(range(2000), 64).astype(np.float64)
    error = 1 / np.sqrt(latents.size)
    assert abs(latents.mean()) < 4 * error
    assert abs(latents.var() - 1) < 4 * np.sqrt(2) * error
    assert abs((latents**4).mean() - 3) < 4 * np.sqrt(96) * error
    assert abs((latents[:, ::2] * latents[:, 1::2]).mean()) < 4 * np.sqrt(2) * error
    assert np.isfinite(latents).all()


@given(seed=SEEDS, classes=st.integers(1, 1000))
def test_the_documented_label_recipe(seed: int, classes: int) -> None:
    documented = np.random.Philox(key=seed, counter=[0, 0, 0, 1]).random_raw() % classes
    labels = labels_from_seeds([seed], classes)
    assert labels.dtype == np.int64
    assert labels.tolist() == [documented]


def test_labels_cover_every_class_evenly() -> None:
    counts = np.bincount(labels_from_seeds(range(5000), 10), minlength=10)
    assert counts.min() > 400
    assert counts.max() < 600


def test_row_seeds_count_up() -> None:
    seeds = row_seeds(41, 3)
    assert seeds.dtype == np.uint64
    assert seeds.tolist() == [41, 42, 43]


def test_row_seeds_reach_both_ends_of_the_range() -> None:
    assert MAX_SEED == 2**53 - 1
    assert row_seeds(0, 1).tolist() == [0]
    assert row_seeds(MAX_SEED, 1).tolist() == [MAX_SEED]
    assert row_seeds(MAX_SEED - 2, 3).tolist() == [MAX_SEED - 2, MAX_SEED - 1, MAX_SEED]


@pytest.mark.parametrize(("seed", "n"), [(-1, 1), (-1, 5), (MAX_SEED, 2), (MAX_SEED + 1, 1), (0, 0), (2**64, 1)])
def test_row_seeds_refuse_what_leaves_the_range(seed: int, n: int) -> None:
    with pytest.raises(ValueError, match=f"{seed} … {seed + n - 1} are not within 0 … {MAX_SEED}"):
        row_seeds(seed, n)
