"""From a request to images: which model, how much, off the event loop where it takes long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import numpy as np
import pytest

from runtime.store import DirectoryStore
from service.access import Caller, act_for
from service.batcher import Batcher
from service.engine import Engine
from service.errors import DeadlineExceeded, InvalidRequest, RateLimited
from service.metrics import Metrics
from service.quotas import Quotas
from service.registry import Registry
from service.sampling import SampleRequest
from tests.kit.tiny_package import publish_tiny
from tests.unit.service.parts import running_batcher, until, value_of


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


async def test_a_stream_yields_the_same_images_in_their_order(
    registry: Registry, batcher: Batcher, metrics: Metrics
) -> None:
    engine = Engine(registry, batcher, metrics, max_images=200, timeout_s=20)
    asked = SampleRequest(n=83, seed=5, truncation=0.7)
    parts = [part async for part in engine.stream(asked)]
    whole = await engine.sample(asked)
    assert len(parts) > 5
    assert np.array_equal(np.concatenate([part.images for part in parts]), whole.images)
    assert [part.seed(row) for part in parts for row in range(len(part.images))] == list(range(5, 88))
    labels = [part.label(row) for part in parts for row in range(len(part.images))]
    assert labels == [whole.label(row) for row in range(83)]


async def test_a_stream_waits_for_a_place_in_a_queue_smaller_than_itself(
    tiny_store: DirectoryStore, metrics: Metrics
) -> None:
    async with running_batcher(metrics, queue_limit=10, max_batch=4) as batcher:
        registry = Registry(tiny_store, batcher, metrics, None)
        await registry.refresh()
        engine = Engine(registry, batcher, metrics, max_images=200, timeout_s=20)
        parts = [part async for part in engine.stream(SampleRequest(n=60, seed=0))]
        assert sum(len(part.images) for part in parts) == 60


async def test_a_stream_that_nobody_takes_computes_a_little_ahead_and_ends_with_its_time(
    registry: Registry, batcher: Batcher, metrics: Metrics
) -> None:
    engine = Engine(registry, batcher, metrics, max_images=200, timeout_s=20)
    async with aclosing(engine.stream(SampleRequest(n=200, seed=0, precision="fp32", timeout_s=0.5))) as stream:
        first = await anext(stream)
        await anext(stream)
        await asyncio.sleep(0.1)
        made = value_of(metrics, "latentd_images_total", model="tiny", version="1", precision="fp32")
        assert made <= 7 * len(first.images)
        await asyncio.sleep(0.5)
        with pytest.raises(DeadlineExceeded):
            async for _ in stream:
                pass


async def test_each_part_of_a_stream_has_the_time_of_a_request(
    registry: Registry, batcher: Batcher, metrics: Metrics
) -> None:
    engine = Engine(registry, batcher, metrics, max_images=1, max_stream_images=200, timeout_s=0.3)
    async with aclosing(engine.stream(SampleRequest(n=200, seed=0, precision="fp32"))) as stream:
        rows = 0
        async for part in stream:
            rows += len(part.images)
            await asyncio.sleep(0.05)
    assert rows == 200


async def test_a_stream_that_is_closed_leaves_nothing_in_the_queue(
    registry: Registry, batcher: Batcher, metrics: Metrics
) -> None:
    engine = Engine(registry, batcher, metrics, max_images=200, timeout_s=20)
    async with aclosing(engine.stream(SampleRequest(n=200))) as stream:
        await anext(stream)
        await anext(stream)
    await until(lambda: value_of(metrics, "latentd_queue_rows") == 0)
    model = await registry.get("tiny")
    assert (model.statistics.success.count, model.statistics.fail.count) == (0, 1)


async def test_a_caller_is_charged_for_its_images_however_it_asks(
    registry: Registry, batcher: Batcher, metrics: Metrics
) -> None:
    engine = Engine(
        registry, batcher, metrics, max_images=200, timeout_s=20, quotas=Quotas(metrics, images_per_second=10)
    )

    async def spend(key: str, *, stream: bool) -> None:
        act_for(Caller(key, ("sample",)))
        asked = SampleRequest(n=100)
        if stream:
            assert len([part async for part in engine.stream(asked)]) > 1
        else:
            await engine.sample(asked)
        with pytest.raises(RateLimited):
            await engine.sample(asked)
        with pytest.raises(InvalidRequest):
            await engine.sample(SampleRequest(n=0))

    await asyncio.gather(spend("a", stream=True), spend("b", stream=False))


async def test_a_request_ends_on_the_version_that_its_caller_has_found(
    tiny_store: DirectoryStore, registry: Registry, batcher: Batcher, metrics: Metrics
) -> None:
    engine = Engine(registry, batcher, metrics, max_images=200, timeout_s=20)
    found = await registry.get("tiny")
    publish_tiny(tiny_store, variant=1)
    await registry.refresh()
    assert (await engine.sample(SampleRequest(), found)).model.version == 1
    assert (await engine.sample(SampleRequest())).model.version == 2
    assert found.statistics.success.count == 1
