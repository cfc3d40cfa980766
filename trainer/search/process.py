"""A training in a process of its own, watched: whatever befalls it, the worker lives on."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from io import FileIO
from typing import Literal

from trainer.errors import RunError
from trainer.search.folder import Outcome, Task, TaskFolder

Ending = Outcome | Literal["interrupted", "given up"]
"""How it ended, or that it was stopped half-way: by a signal from outside, or because `watch` had seen enough."""

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0  # for saving after SIGTERM
_STOPPED = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


def run_process(
    folder: TaskFolder,
    task: Task,
    lock: FileIO,
    *,
    threads: int,
    stop: Callable[[], bool],
    watch: Callable[[int, dict[str, float]], bool],
) -> Ending:
    """Train `task` in `folder` to its end; at once where that has been reached.

    Args:
        lock: on the folder; the process inherits it, so that the folder is held as long as either lives.
        threads: CPU threads for each operation, unless the environment says otherwise.
        stop: asked several times per second whether to save and stop.
        watch: called with each step and its scores; False gives the training up.
    """
    seen: set[int] = set()

    def enough() -> bool:
        for step, scores in folder.read_values().items():
            if step not in seen:
                seen.add(step)
                if not watch(step, scores):
                    return True
        return False

    outcome = folder.outcome()
    if outcome is not None:
        enough()
        return outcome
    folder.order(task)
    process = _start(folder, lock, threads)
    given_up = False
    try:
        while process.poll() is None:
            given_up = enough()
            if given_up or stop():
                break
            time.sleep(_POLL_SECONDS)
    finally:
        code = _end(process)
    outcome = folder.outcome()
    if given_up and outcome is None:
        return "given up"
    if outcome is not None:
        enough()
        return outcome
    if stop() or -code in _STOPPED or code - 128 in _STOPPED:
        return "interrupted"
    outcome = Outcome(verdict=_explain(folder, code))
    folder.finish(outcome)
    return outcome


def _start(folder: TaskFolder, lock: FileIO, threads: int) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "trainer.search.trial", str(folder.path), str(os.getpid())]
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    try:
        with folder.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - this very program
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, pass_fds=[lock.fileno()]
            )
    except OSError as error:
        raise RunError(f"{folder.path}: no process could be started: {error.strerror}") from error


def _end(process: "subprocess.Popen[bytes]") -> int:
    """Have `process` save and end, if it has not; its exit code."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
    return process.wait()


def _explain(folder: TaskFolder, code: int) -> str:
    """Why a process left no outcome."""
    if code == -signal.SIGKILL:
        return f"killed by SIGKILL, as the system does when memory runs out; see {folder.log}"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}; see {folder.log}"
    said = folder.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"exit code {code}: {said[-1] if said else 'no word'}; see {folder.log}"
