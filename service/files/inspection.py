"""Looking into an upload from outside: a process with little memory, little time, and no part in serving."""

import json
import subprocess
import sys
from pathlib import Path

from service.errors import InvalidRequest, Overloaded
from service.files.findings import Findings
from service.files.limits import FileLimits
from service.launcher import launch_command

_NICE = 15


def look_into(path: Path, name: str, limits: FileLimits) -> Findings:
    """What the file at `path`, uploaded as `name`, holds. Blocks.

    Raises:
        InvalidRequest: it is refused; the message says why.
        Overloaded: the process ended without an answer, e.g. for want of memory on this machine.
    """
    command = [sys.executable, "-m", "service.files.inspector", str(path), name, limits.model_dump_json()]
    launched = launch_command(command, nice=_NICE, memory_bytes=limits.memory_bytes, cores=1)
    try:
        done = subprocess.run(launched, capture_output=True, timeout=limits.seconds, check=False)  # noqa: S603
    except subprocess.TimeoutExpired as error:
        raise refused(name, f"looking into it takes longer than {limits.seconds:.0f} s") from error
    except OSError as error:
        raise Overloaded(f"file: it cannot be looked into now: {error}", retry_after_s=5.0) from error
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        if b"MemoryError" in done.stderr or b"Unable to allocate" in done.stderr:
            raise refused(name, f"looking into it takes more than {limits.memory_bytes >> 20} MiB of memory") from None
        if done.returncode < 0 and done.returncode != -9:  # a decoder crashed on it
            raise refused(name, f"it ended its decoder by signal {-done.returncode}") from None
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise RuntimeError(f"looking into {name!r} ended with exit code {done.returncode}: {last[0]}") from None
    if "refused" in answer:
        raise refused(name, answer["refused"])
    return Findings.model_validate(answer["findings"])


def refused(name: str, reason: str) -> InvalidRequest:
    """The answer to an upload that is not taken."""
    return InvalidRequest(f"file: {name[:100]!r} is refused: {reason}", param="file")
