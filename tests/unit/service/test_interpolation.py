"""The way between two latents, and the request for it."""

from dataclasses import replace

import numpy as np
import pytest

from runtime.latents import latents_from_seeds
from runtime.store import DirectoryStore
from service.errors import InvalidRequest
from service.interpolation import InterpolationRequest, Mode, interpolate, run_interpolation
from service.sampling import SampleRequest
from tests.unit.service.parts import running_engine

A, B = latents_from_seeds([1, 2], 64)


@pytest.mark.parametrize("mode", ["slerp", "lerp"])
def test_the_ends_are_exactly_those_given_and_the_way_is_even(mode: Mode) -> None:
    path = interpolate(A, B, 9, mode)
    assert path.shape == (9, 64)
    assert path.dtype == np.float32
    assert np.array_equal(path[0], A)
    assert np.array_equal(path[-1], B)
    assert np.allclose(path[4], interpolate(B, A, 9, mode)[4], atol=1e-6)


def test_slerp_keeps_the_length_that_lerp_loses() -> None:
    """On the unit sphere every step of slerp has length 1 and equal angles (Shoemake 1985)."""
    a, b = A / np.linalg.norm(A), B / np.linalg.norm(B)
    path = interpolate(a, b, 7, "slerp")
    assert np.allclose(np.linalg.norm(path, axis=1), 1, atol=1e-6)
    cosines = (path[:-1] * path[1:]).sum(axis=1)
    assert np.allclose(cosines, cosines[0], atol=1e-6)
    assert np.linalg.norm(interpolate(a, b, 7, "lerp")[3]) < 0.95


@pytest.mark.parametrize("other", [A, -A, 2 * A, 0 * A])
def test_parallel_opposite_and_zero_latents_have_a_way_too(other: np.ndarray) -> None:
    path = interpolate(A, other.astype(np.float32), 5, "slerp")
    assert np.isfinite(path).all()
    assert np.array_equal(path[-1], other.astype(np.float32))


async def test_the_ends_are_the_images_of_the_two_seeds(shared_store: DirectoryStore) -> None:
    async with running_engine(shared_store) as engine:
        model = await engine.registry.get("tiny")
        asked = InterpolationRequest(from_seed=3, to_seed=9, steps=5, labels=["4"], precision="fp32")
        found = await run_interpolation(engine, model, asked)
        ends = await engine.sample(SampleRequest(seeds=[3, 9], labels=["4"], precision="fp32"), model)
        assert found.images.shape == (5, 8, 8, 1)
        assert np.array_equal(found.images[[0, -1]], ends.images)
        alone = await engine.sample(SampleRequest(seed=3, precision="fp32"), model)
        drawn = await run_interpolation(engine, model, replace(asked, labels=None))
        assert np.array_equal(drawn.images[0], alone.images[0])
        assert len({drawn.label(row) for row in range(5)}) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 1}, "steps: got 1; allowed: an integer from 2 to 64"),
        ({"steps": 10**12}, f"steps: got {10**12}; allowed: an integer from 2 to 64"),
        ({"from_seed": -1}, "from_seed: got -1; allowed: integers from 0"),
        ({"to_seed": 2**53}, f"to_seed: got {2**53}; allowed: integers from 0"),
        ({"mode": "cubic"}, "mode: got 'cubic'; allowed: slerp, lerp"),
        ({"labels": ["cat"]}, "labels: got 'cat'; allowed: class names"),
        ({"labels": [1, 2]}, "labels: got 2 labels for 4 images; allowed: 1 or 4"),
        ({"truncation": 2.0}, "truncation: got 2.0"),
    ],
)
async def test_a_wrong_field_is_named(change: dict[str, object], message: str, shared_store: DirectoryStore) -> None:
    async with running_engine(shared_store) as engine:
        asked = replace(InterpolationRequest(from_seed=1, to_seed=2, steps=4), **change)  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest) as refusal:
            await run_interpolation(engine, await engine.registry.get("tiny"), asked)
        assert refusal.value.message.startswith(message)
