"""A model that a job made goes under an alias: at once, or for a share of the requests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.store import DirectoryStore
from service.aliases import Alias, Canary
from service.errors import Conflict, NotFound
from service.jobs.assembly import JobParts, assemble
from service.jobs.claims import Claims
from service.jobs.desk import JobDesk
from service.jobs.intake import Intake
from service.metrics import Metrics
from service.registry import Registry
from service.settings import Settings
from tests.kit.tiny_package import publish_tiny
from tests.unit.service.parts import running_batcher


@pytest.fixture
async def registry(tmp_path: Path, metrics: Metrics) -> AsyncIterator[Registry]:
    store = DirectoryStore(tmp_path / "models")
    for variant in range(2):
        publish_tiny(store, variant=variant, precisions=("fp32",))
    async with running_batcher(metrics, max_batch=2) as batcher:
        registry = Registry(store, batcher, metrics, None)
        await registry.refresh()
        yield registry


@pytest.fixture
def parts(tmp_path: Path) -> JobParts:
    (tmp_path / "state").mkdir()
    return assemble(Settings(state=tmp_path / "state", store=tmp_path / "models"))


@pytest.fixture
def desk(tmp_path: Path, registry: Registry, parts: JobParts) -> JobDesk:
    intake = Intake(registry, DirectoryStore(tmp_path / "models"), parts.files, parts.jobs)
    return JobDesk(intake, parts.jobs, registry)


def job_that_made(parts: JobParts, reference: str) -> str:
    """The id of a fine-tuning that succeeded."""
    job = parts.jobs.create("fine_tuning", {"model": "tiny@1"})
    claims = Claims(parts.database, "a", lease_s=60.0)
    taken = claims.take(["fine_tuning"])
    assert taken is not None
    claims.step(taken[0], "finalizing")
    claims.step(taken[0], "succeeded", result={"fine_tuned_model": reference})
    return job.id


async def test_a_promoted_model_takes_all_requests_of_the_alias(
    desk: JobDesk, parts: JobParts, registry: Registry
) -> None:
    assert await desk.promote(job_that_made(parts, "tiny@2"), "stable") == Alias(target="tiny@2")
    assert (await registry.get("stable")).version == 2


async def test_a_canary_leaves_the_other_requests_where_they_go(
    desk: JobDesk, parts: JobParts, registry: Registry
) -> None:
    job_id = job_that_made(parts, "tiny@2")
    with pytest.raises(NotFound, match="'stable'"):
        await desk.promote(job_id, "stable", 0.25)
    await registry.set_alias("stable", Alias(target="tiny@1"))
    shared = Alias(target="tiny@1", canary=Canary(target="tiny@2", weight=0.25))
    assert await desk.promote(job_id, "stable", 0.25) == shared
    assert registry.alias("stable") == shared
    assert await desk.promote(job_id, "stable") == Alias(target="tiny@2")


async def test_a_job_without_a_model_promotes_nothing(desk: JobDesk, parts: JobParts, registry: Registry) -> None:
    job = parts.jobs.create("fine_tuning", {"model": "tiny@1"})
    with pytest.raises(Conflict, match=f"{job.id} is queued and has made no model"):
        await desk.promote(job.id, "stable")
    with pytest.raises(NotFound):
        await desk.promote("ftjob-none", "stable")
    assert registry.aliases() == {}
