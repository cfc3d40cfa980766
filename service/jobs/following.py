"""The events of a job as they come, for any number of clients."""

import asyncio
from collections.abc import AsyncIterator, Callable

from service.errors import StorageUnavailable
from service.jobs.records import Event, Job
from service.jobs.store import JobStore

_AT_ONCE = 500


async def follow(
    jobs: JobStore,
    job_id: str,
    after: int,
    *,
    poll_s: float = 0.2,
    quiet_s: float = 10.0,
    stopping: Callable[[], bool] = lambda: False,
) -> AsyncIterator[tuple[Job, list[Event]]]:
    """Events from number `after` + 1 on, oldest first, without a gap; ends when the job is over and all are out.

    Args:
        poll_s: between two looks, up to five times that where nothing happens.
        quiet_s: an empty list comes after so long without events, for a sign of life.
        stopping: ends it early; a client comes back with the number of the last event that it saw.

    Raises:
        NotFound: no such job, or it has been deleted meanwhile.
    """
    quiet, wait = 0.0, poll_s
    while not stopping():
        try:
            job, events = await asyncio.to_thread(jobs.events_after, job_id, after, _AT_ONCE)
        except StorageUnavailable:  # locked for a moment: whoever follows has patience
            await asyncio.sleep(poll_s)
            continue
        if events or quiet >= quiet_s:
            yield job, events
            quiet = 0.0
        if events:
            after, wait = events[-1].sequence, poll_s
        elif job.over:
            yield job, []
            return
        if len(events) < _AT_ONCE:
            await asyncio.sleep(wait)
            quiet += wait
            wait = min(5 * poll_s, 1.2 * wait)
