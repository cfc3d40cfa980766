"""Processes on a Ray cluster, through its Jobs API (docs.ray.io, "Ray Jobs REST API"); Ray itself is not needed here.

Every node must see the state folder and the model store under the same paths, and have `latentd` with its trainer.
Unlike a local process one of these outlives its runner: an attempt that follows ends it first, and where its node
cannot be reached, whatever it still writes counts for nothing, since its attempt has passed.

Ray retries nothing by itself. A node that is lost shows after some 17 seconds, as a failure that leads to another
attempt.
"""

import shlex
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from service.jobs.folder import JobFolder
from service.jobs.runner import CannotStart, Ended, Launch, RunnerUnavailable

_LOOK_S = 1.0
_CLEARED_WITHIN_S = 30.0
_OVER = frozenset({"SUCCEEDED", "FAILED", "STOPPED"})


@dataclass(frozen=True)
class RayShare:
    """What each process asks of the cluster.

    Attributes:
        cores: that Ray reserves for it, and that its libraries use.
        gpus: likewise; Ray says which.
        memory_bytes: that Ray reserves; None: nothing.
    """

    cores: int = 1
    gpus: int = 0
    memory_bytes: int | None = None


class RayRunner:
    """See `service.jobs.runner.Runner`. A handle is the cluster's submission id: job and attempt."""

    def __init__(self, address: str, share: RayShare, *, token: str | None = None, timeout_s: float = 10.0) -> None:
        """
        Args:
            address: of the dashboard, ``http://HOST:8265``.
            token: where the cluster asks for one (``RAY_AUTH_MODE=token``).
        """
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=address, headers=headers, timeout=timeout_s)
        self._share = share
        self._seen: dict[str, tuple[float, Ended | None]] = {}

    def start(self, launch: Launch) -> str:
        """See `Runner.start`; what has been submitted under this name already is not again."""
        log = shlex.quote(str(JobFolder(launch.folder).log.resolve()))
        environment = {"OMP_NUM_THREADS": str(self._share.cores), "PYTHONUNBUFFERED": "1", **launch.environment}
        order: dict[str, Any] = {
            "submission_id": launch.name,
            "entrypoint": f"exec {shlex.join(launch.command)} >>{log} 2>&1",
            "entrypoint_num_cpus": self._share.cores,
            "runtime_env": {"env_vars": environment},
        }
        if self._share.gpus:
            order["entrypoint_num_gpus"] = self._share.gpus
        if self._share.memory_bytes is not None:
            order["entrypoint_memory"] = self._share.memory_bytes
        answer = self._ask("POST", "/api/jobs/", json=order)
        if answer.is_error and self._details(launch.name) is None:
            if answer.is_server_error:  # no node has an agent yet, for one
                raise RunnerUnavailable(_complaint(answer))
            raise CannotStart(f"the Ray cluster refused its process: {answer.text.strip()[-300:]}")
        return launch.name

    def poll(self, handle: str) -> Ended | None:
        """See `Runner.poll`; the cluster is asked once a second."""
        asked, ended = self._seen.get(handle, (float("-inf"), None))
        if ended is None and time.monotonic() - asked >= _LOOK_S:
            ended = _end(self._details(handle))
            self._seen[handle] = time.monotonic(), ended
        return ended

    def stop(self, handle: str, *, gently: bool) -> None:
        """See `Runner.stop`; Ray sends SIGTERM, and SIGKILL some seconds later (``RAY_JOB_STOP_WAIT_TIME_S``)."""
        if self.poll(handle) is None:
            self._ask("POST", f"/api/jobs/{handle}/stop")

    def reap(self, handle: str) -> None:
        """See `Runner.reap`."""
        self._seen.pop(handle, None)
        self._ask("DELETE", f"/api/jobs/{handle}")

    def clear(self, folder: Path) -> None:
        """See `Runner.clear`: attempts at the job of `folder` that the cluster still runs."""
        deadline = time.monotonic() + _CLEARED_WITHIN_S
        while left := self._running_attempts(folder.name):
            for submission in left:
                self._ask("POST", f"/api/jobs/{submission}/stop")
            if time.monotonic() > deadline:
                raise RunnerUnavailable(f"the Ray cluster does not end {', '.join(left)}")
            time.sleep(_LOOK_S / 2)

    def _running_attempts(self, job_id: str) -> list[str]:
        answer = self._ask("GET", "/api/jobs/")
        if answer.is_error:
            raise RunnerUnavailable(_complaint(answer))
        return [
            entry["submission_id"]
            for entry in answer.json()
            if (entry.get("submission_id") or "").rpartition("-")[0] == job_id and entry["status"] not in _OVER
        ]

    def _details(self, submission: str) -> Mapping[str, Any] | None:
        """What the cluster knows of a submission; None: nothing."""
        answer = self._ask("GET", f"/api/jobs/{submission}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        if answer.is_error:
            raise RunnerUnavailable(_complaint(answer))
        content: Mapping[str, Any] = answer.json()
        return content

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise RunnerUnavailable(f"the Ray cluster at {self._http.base_url} cannot be reached: {error}") from error
        if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            raise RunnerUnavailable(f"the Ray cluster refuses the token (setting ray_token): {answer.status_code}")
        return answer


def _complaint(answer: httpx.Response) -> str:
    return f"the Ray cluster answers {answer.status_code}: {answer.text.strip()[-300:]}"


def _end(details: Mapping[str, Any] | None) -> Ended | None:
    """How a submission ended; None while it waits or runs. One that is unknown went with its cluster."""
    if details is None:
        return Ended(signal=signal.SIGKILL)
    if details["status"] not in _OVER:
        return None
    if details["status"] == "SUCCEEDED":
        return Ended(0)
    code = details.get("driver_exit_code")
    if details["status"] == "STOPPED":
        return Ended(code) if code is not None and code >= 0 else Ended(signal=signal.SIGTERM)
    return Ended(signal=signal.SIGKILL) if code is None or code < 0 else Ended(code)
