"""Renews leases from a thread of its own, whatever the loop that runs the jobs is busy with."""

import logging
import threading
import time
from dataclasses import dataclass

from service.errors import StorageUnavailable
from service.jobs.claims import Claim, Claims, LostClaim
from service.jobs.records import Job

_LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class Pulse:
    """A claim that is being renewed.

    Attributes:
        job: as it was at the last renewal.
        renewed: when that was, by the monotonic clock.
        lost: another attempt has the job, or it is over.
    """

    claim: Claim
    job: Job
    renewed: float
    lost: bool = False


class Heartbeat:
    """See the module's docstring. `close` ends the thread."""

    def __init__(self, claims: Claims, every_s: float) -> None:
        self._claims = claims
        self._every_s = every_s
        self._pulses: list[Pulse] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="job-leases", daemon=True)
        self._thread.start()

    def hold(self, claim: Claim, job: Job) -> Pulse:
        """Renew `claim`, just made, until `release`."""
        pulse = Pulse(claim, job, time.monotonic())
        self._pulses.append(pulse)
        return pulse

    def release(self, pulse: Pulse) -> None:
        """Renew it no more."""
        if pulse in self._pulses:
            self._pulses.remove(pulse)

    def check(self, pulse: Pulse) -> None:
        """Raise where the job is not ours, or may not be by now.

        Raises:
            LostClaim: it was lost, or has not been renewed for most of its lease.
        """
        if pulse.lost or time.monotonic() - pulse.renewed > self._claims.lease_s * 0.8:
            raise LostClaim(f"{pulse.claim.job_id}: attempt {pulse.claim.attempt} has lost its lease")

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.wait(self._every_s):
            for pulse in list(self._pulses):
                try:
                    began = time.monotonic()
                    pulse.job = self._claims.renew(pulse.claim)
                    pulse.renewed = began
                except LostClaim:
                    pulse.lost = True
                except StorageUnavailable as error:
                    _LOG.warning("%s: its lease is not renewed: %s", pulse.claim.job_id, error)
                except Exception:  # noqa: BLE001 - a lease that is not renewed ends its job, not this thread
                    _LOG.exception("%s: its lease is not renewed", pulse.claim.job_id)
