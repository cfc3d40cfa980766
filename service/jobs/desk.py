"""Everything that a transport asks of jobs, off the event loop."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from service.aliases import Alias, Canary
from service.errors import Conflict, InvalidRequest
from service.jobs.intake import Intake
from service.jobs.records import Event, Job, Kind, Page
from service.jobs.store import JobStore
from service.registry import Registry


@dataclass(frozen=True)
class EventPage:
    """Events of a job, newest first."""

    job: Job
    page: Page[Event]


class JobDesk:
    """One for all transports.

    Attributes:
        intake: makes jobs.
        jobs: for what follows their events.
    """

    def __init__(self, intake: Intake, jobs: JobStore, registry: Registry) -> None:
        self.intake = intake
        self.jobs = jobs
        self._registry = registry

    async def get(self, job_id: str, kind: Kind) -> Job:
        """A job; the model that it made is being served when this returns.

        Raises:
            NotFound: no such job of this kind.
        """
        job = await asyncio.to_thread(self.jobs.get, job_id, kind)
        await self.serve_result(job)
        return job

    async def serve_result(self, job: Job) -> None:
        """Look at the store at once where the registry has not yet seen what a job made."""
        made = (job.result or {}).get("fine_tuned_model")
        if made is not None:
            name, _, version = made.partition("@")
            known = self._registry.versions(name)
            if not known or max(known) < int(version):
                await self._registry.refresh()

    async def page(
        self, kind: Kind, *, after: str | None, limit: int, where: Callable[[Job], bool] | None = None
    ) -> Page[Job]:
        """See `JobStore.page`."""
        return await asyncio.to_thread(self.jobs.page, kind, after=after, limit=limit, where=where)

    async def cancel(self, job_id: str, kind: Kind) -> Job:
        """See `JobStore.cancel`."""
        return await asyncio.to_thread(self.jobs.cancel, job_id, kind)

    async def pause(self, job_id: str, kind: Kind) -> Job:
        """See `JobStore.pause`."""
        return await asyncio.to_thread(self.jobs.pause, job_id, kind)

    async def resume(self, job_id: str, kind: Kind) -> Job:
        """See `JobStore.resume`."""
        return await asyncio.to_thread(self.jobs.resume, job_id, kind)

    async def promote(self, job_id: str, alias: str, weight: float | None = None) -> Alias:
        """Let `alias` stand for the model that a job made.

        Args:
            weight: share of the requests to `alias` that go to the new model, 0 to 1, while the others go on to what it
                stands for; None: all of them.

        Returns:
            What the alias stands for now.

        Raises:
            NotFound: no such job, or no such alias to share the requests of.
            Conflict: the job has made no model, or the alias is the name of a model.
            InvalidRequest: `alias` cannot be a name.
        """
        job = await self.get(job_id, "fine_tuning")
        made = (job.result or {}).get("fine_tuned_model")
        if made is None:
            raise Conflict(f"{job_id} is {job.state} and has made no model; allowed: a job that succeeded")
        if weight is None:
            meaning = Alias(target=made)
        else:
            meaning = Alias(target=self._registry.alias(alias).target, canary=Canary(target=made, weight=weight))
        await self._registry.set_alias(alias, meaning)
        return meaning

    async def events(self, job_id: str, *, after: str | None, limit: int, types: tuple[str, ...] = ()) -> EventPage:
        """Events from the one behind `after`, the id of an event, on.

        Raises:
            InvalidRequest: `after` is no such id.
            NotFound: no such job.
        """
        before = None
        if after is not None:
            own, number = job_id.partition("-")[2], after.rpartition("-")[2]
            if after.split("-")[1:] != [own, number] or not number.isdecimal() or len(number) > 9:
                raise InvalidRequest.field("after", after, "the id of an event of this job")
            before = int(number)

        def read() -> EventPage:
            job = self.jobs.get(job_id)
            return EventPage(job, self.jobs.events(job_id, before=before, types=types, limit=limit))

        return await asyncio.to_thread(read)
