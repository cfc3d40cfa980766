"""From a request to images: which model, how much, off the event loop where it takes long."""

from collections.abc import AsyncIterator

import numpy as np
import pytest

from runtime.store import DirectoryStore
from service.batcher import Batcher
from service.engine import Engine
from service.errors import InvalidRequest
from service.metrics import Metrics
from service.registry import Registry
from service.sampling import SampleRequest
from tests.unit.service.parts import running_batcher


@pytest.fixture
async def batcher(metrics: Metrics) -> AsyncIterator[Batcher]:
    async with running_batcher(metrics, max_batch=8) as batcher:
        yield batcher


@pytest.fixture
async def registry(tiny_store: DirectoryStore, batcher: Batcher, metrics: Metrics) -> Registry:
    registry = Registry(tiny_store, batcher, metrics, None)
    await registry.refresh()
    return registry


async def test_a_result_names_every_image(registry: Registry, batcher: Batcher, metrics: Metrics) -> None:
    engine = Engine(registry, batcher, metrics, max_images=200, timeout_s=20)
    result = await engine.sample(SampleRequest(n=3, seed=7, labels=["4"], precision="fp32"))
    assert (result.model.manifest.reference, result.precision) == ("tiny@1", "fp32")
    assert [result.seed(row) for row in range(3)] == [7, 8, 9]
    assert [result.label(row) for row in range(3)] == [4, 4, 4]
    assert result.images.shape == (3, 8, 8, 1)


async def test_a_large_request_prepared_off_the_loop_is_the_same_request(
    registry: Registry, batcher: Batcher, metrics: Metrics
) -> None:
    engine = Engine(registry, batcher, metrics, max_images=200, timeout_s=20)
    large = await engine.sample(SampleRequest(n=150, seed=0))
    small = [await engine.sample(SampleRequest(n=50, seed=first)) for first in (0, 50, 100)]
    assert np.array_equal(large.images, np.concatenate([part.images for part in small]))
    with pytest.raises(InvalidRequest, match="n: got 201; allowed: an integer from 1 to 200"):
        await engine.sample(SampleRequest(n=201))


async def test_a_request_is_sized_in_bytes_before_it_is_queued(
    registry: Registry, batcher: Batcher, metrics: Metrics
) -> None:
    engine = Engine(registry, batcher, metrics, max_images=200, max_output_bytes=10 * 64, timeout_s=20)
    assert len((await engine.sample(SampleRequest(n=10))).images) == 10
    with pytest.raises(InvalidRequest, match="n: got 11; allowed: an integer from 1 to 10"):
        await engine.sample(SampleRequest(n=11))
