"""The threads in which a server runs jobs and tidies up after them."""

import asyncio
import logging
import threading
import time

from service.errors import StorageUnavailable
from service.jobs.assembly import JobParts, supervise
from service.metrics import Metrics
from service.settings import Settings

_LOG = logging.getLogger(__name__)
_COUNT_EVERY_S, _SWEEP_EVERY_S = 5.0, 60.0
_GAUGES = {"images": "job_step", "loss_generator": "job_loss", "images_per_second": "job_images_per_second"}


class JobCrew:
    """Starts with `start`, ends with `stop` and then `closed`. With ``job_slots`` 0 it only tidies up and counts."""

    def __init__(self, settings: Settings, parts: JobParts, metrics: Metrics | None = None) -> None:
        self._parts = parts
        self._metrics = metrics
        self._stopped = threading.Event()
        self._supervisor = supervise(settings, parts) if settings.job_slots else None
        self._threads = [threading.Thread(target=self._tidy, name="job-sweeper", daemon=True)]
        if self._supervisor is not None:
            # Processes of jobs end with this thread: it is never one of a pool.
            self._threads.append(threading.Thread(target=self._supervisor.run, name="jobs", daemon=True))

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let processes save and end; does not wait."""
        self._stopped.set()
        if self._supervisor is not None:
            self._supervisor.stop()

    def join(self) -> None:
        """Wait until all has ended, and close the database. Blocks."""
        for thread in self._threads:
            if thread.is_alive():
                thread.join()
        self._parts.close()

    async def closed(self) -> None:
        """`join`, off the event loop."""
        await asyncio.to_thread(self.join)

    def _tidy(self) -> None:
        swept = float("-inf")
        while not self._stopped.is_set():
            try:
                if time.monotonic() - swept >= _SWEEP_EVERY_S:
                    swept = time.monotonic()
                    self._parts.retention.sweep()
                if self._metrics is not None:
                    self._count(self._metrics)
            except StorageUnavailable as error:
                _LOG.warning("tidying up waits: %s", error)
            except Exception:  # noqa: BLE001 - the loop outlives what it meets
                _LOG.exception("tidying up failed")
            self._stopped.wait(_COUNT_EVERY_S)

    def _count(self, metrics: Metrics) -> None:
        """Jobs of every state and worker: from the database, whoever runs them."""
        for (kind, status), number in self._parts.jobs.counts().items():
            metrics.jobs.labels(kind, status).set(number)
        numbers = self._parts.jobs.latest_numbers()
        for name, gauge in _GAUGES.items():
            value = numbers.get(name)
            if isinstance(value, int | float):
                getattr(metrics, gauge).set(value)
