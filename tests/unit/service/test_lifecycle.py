"""Readiness: from the end of the first scan to the first sign of shutdown."""

from runtime.store import DirectoryStore
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.registry import Registry
from tests.unit.service.parts import running_batcher


async def test_ready_after_the_first_scan_until_draining(tiny_store: DirectoryStore, metrics: Metrics) -> None:
    async with running_batcher(metrics) as batcher:
        registry = Registry(tiny_store, batcher, metrics, None)
        lifecycle = Lifecycle(registry)
        assert (lifecycle.ready, lifecycle.reason) == (False, "models are still being loaded")
        await registry.refresh()
        assert (lifecycle.ready, lifecycle.reason) == (True, "")
        lifecycle.draining = True
        assert (lifecycle.ready, lifecycle.reason) == (False, "the server is shutting down")


async def test_an_empty_store_is_not_ready(store: DirectoryStore, metrics: Metrics) -> None:
    async with running_batcher(metrics) as batcher:
        registry = Registry(store, batcher, metrics, None)
        await registry.refresh()
        lifecycle = Lifecycle(registry)
        assert (lifecycle.ready, lifecycle.reason) == (False, "the store holds no model yet")
