"""What a request leaves behind: filled by every layer, kept apart from its neighbours'."""

import asyncio

import pytest

from runtime.store import DirectoryStore
from service import observation
from service.errors import InvalidRequest, NotFound
from service.observation import Observation
from service.sampling import SampleRequest
from tests.unit.service.parts import running_engine


async def test_each_of_many_requests_at_once_finds_its_own(shared_store: DirectoryStore) -> None:
    async with running_engine(shared_store, default_model="tiny") as engine:

        async def request(n: int) -> Observation:
            seen = Observation(f"request-{n}")
            observation.observe(seen)
            await engine.sample(SampleRequest(model="plain" if n % 2 else "tiny", n=n, seed=0))
            return seen

        everything = await asyncio.gather(*(request(n) for n in range(1, 30)))
    for n, seen in enumerate(everything, 1):
        assert (seen.request_id, seen.rows) == (f"request-{n}", n)
        assert (seen.model, seen.version) == ("plain" if n % 2 else "tiny", "1")
        assert seen.queue_s >= 0
        assert seen.run_s > 0


async def test_a_model_is_noted_once_it_is_known_to_exist(shared_store: DirectoryStore) -> None:
    async with running_engine(shared_store, default_model="tiny") as engine:
        seen = Observation("a")
        observation.observe(seen)
        with pytest.raises(NotFound):
            await engine.sample(SampleRequest(model="made-up"))
        assert (seen.model, seen.rows) == ("", 0)
        with pytest.raises(InvalidRequest):
            await engine.sample(SampleRequest(model="tiny", n=0))
        assert (seen.model, seen.version, seen.rows) == ("tiny", "1", 0)


def test_outside_of_a_request_nothing_is_kept() -> None:
    observation.current().rows = 5
    assert observation.current().rows == 0
