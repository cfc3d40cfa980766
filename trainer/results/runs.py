"""One training in a process of its own, as a study orders it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.atomic import write_atomic
from runtime.errors import PackageError
from runtime.package import Package
from runtime.store import DirectoryStore
from trainer.errors import RunError
from trainer.run_folder import RunFolder

_POLL_SECONDS = 0.2
_running: set[int] = set()
_STOPPED = {signal.SIGINT, signal.SIGTERM, signal.SIGKILL, signal.SIGHUP}


@dataclass(frozen=True)
class TrainedRun:
    """How a training ended.

    Attributes:
        package: what was published; None where the trainer gave up.
        verdict: empty, or why there is no package, in the words of the trainer.
        images: training images seen, repeats counted.
        seconds: of training alone, without evaluation, export and start.
        wall_seconds: of all processes that worked on this run, from start to end.
        peak_mib: largest resident memory of any of them, MiB.
    """

    package: Package | None
    verdict: str
    images: int
    seconds: float
    wall_seconds: float
    peak_mib: float


def train_recipe(recipe: str, run: Path, settings: Sequence[str]) -> TrainedRun:
    """Train `recipe` in the folder `run` and publish to ``run/models``; go on where an earlier call was stopped.

    A run that has published is not started again. Several threads may call this at once, with folders of their own.

    Args:
        settings: ``path=value`` overrides of the recipe, in order.

    Raises:
        RunError: the process was stopped by a signal; the same call goes on.
    """
    store = DirectoryStore(run / "models")
    package, verdict = _published(run, store), ""
    if package is None:
        overrides = [argument for setting in settings for argument in ("--set", setting)]
        command = [sys.executable, "-m", "trainer", recipe, "--run", str(run), "--store", str(store.root), *overrides]
        verdict = _run(command, run)
        package = _published(run, store)
    wall_seconds, peak_mib = _used(run)
    if package is None:
        return TrainedRun(None, verdict or "no package was published", *_progress(run), wall_seconds, peak_mib)
    provenance = package.manifest.provenance
    return TrainedRun(package, "", provenance.trained_images, provenance.training_seconds, wall_seconds, peak_mib)


def stop_trainings() -> None:
    """Ask the trainings of every thread to save and stop; their calls end in a `RunError`."""
    for number in tuple(_running):
        with suppress(ProcessLookupError):
            os.kill(number, signal.SIGTERM)


def _published(run: Path, store: DirectoryStore) -> Package | None:
    """What the run says it has published, if it is still there."""
    result = RunFolder(run).read_result()
    if result is None:
        return None
    name, _, version = result["package"].partition("@")
    try:
        return store.open(name, int(version))
    except PackageError:
        return None


def _run(command: list[str], run: Path) -> str:
    """Run `command` with its progress on this terminal; empty, or the last line of its standard error.

    Time and memory are added to ``process.json``. Whatever interrupts this call ends the process first, which saves.

    Raises:
        RunError: a signal ended the process.
    """
    run.mkdir(parents=True, exist_ok=True)
    errors = run / "stderr.txt"
    with errors.open("wb") as file:
        process = subprocess.Popen(command, stderr=file)  # noqa: S603 - this very program
    _running.add(process.pid)
    try:
        code = _wait(process, run)
    except BaseException:
        os.kill(process.pid, signal.SIGTERM)
        _wait(process, run)
        raise
    finally:
        _running.discard(process.pid)
    number = -code if code < 0 else code - 128
    if number in _STOPPED:
        raise RunError(f"{run}: stopped by {signal.Signals(number).name}; the same command goes on")
    said = errors.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "" if code == 0 else (said or [f"exit code {code}"])[-1].removeprefix("Error: ")


def _wait(process: subprocess.Popen[bytes], run: Path) -> int:
    """Wait for `process`, write down what it used, and return its exit code.

    Its peak memory is read while it runs: what the system says afterwards is no less than that of this very process.
    """
    status_file, begun = Path(f"/proc/{process.pid}/status"), time.monotonic()
    seconds, peak = _used(run)
    while True:
        with suppress(OSError):
            lines = status_file.read_text(encoding="utf-8").splitlines()
            peak = max([peak, *(int(line.split()[1]) / 2**10 for line in lines if line.startswith("VmHWM:"))])
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        time.sleep(_POLL_SECONDS)
    process.returncode = os.waitstatus_to_exitcode(status)
    used = {"wall_seconds": seconds + time.monotonic() - begun, "peak_mib": peak or usage.ru_maxrss / 2**10}
    write_atomic(run / "process.json", json.dumps(used).encode())
    return process.returncode


def _used(run: Path) -> tuple[float, float]:
    """Seconds and most MiB of all processes of this run so far."""
    path = run / "process.json"
    if not path.exists():
        return 0.0, 0.0
    used = json.loads(path.read_text(encoding="utf-8"))
    return used["wall_seconds"], used["peak_mib"]


def _progress(run: Path) -> tuple[int, float]:
    """Images and seconds of a run that published nothing."""
    metrics = RunFolder(run).metrics
    lines = metrics.read_text(encoding="utf-8").splitlines() if metrics.exists() else []
    last: dict[str, Any] = json.loads(lines[-1]) if lines else {"images": 0, "seconds": 0.0}
    return last["images"], last["seconds"]
