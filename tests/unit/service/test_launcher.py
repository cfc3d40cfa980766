"""Processes that end with whoever started them, within limits."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from service.launcher import UNSTARTED, launch_command
from tests.kit.processes import is_running, wait_for


def output(*command: str, **limits: object) -> str:
    launched = launch_command([sys.executable, "-c", *command], **limits)  # type: ignore[arg-type]
    return subprocess.run(launched, capture_output=True, text=True, check=True).stdout.strip()


def test_limits_hold(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid.json"
    said = output(
        "import os; print(os.nice(0), len(os.sched_getaffinity(0)), os.getpid())", nice=3, cores=1, pid_file=pid_file
    )
    nice, cores, pid = said.split()
    assert (int(nice), int(cores)) == (min(19, os.nice(0) + 3), 1)
    assert json.loads(pid_file.read_text())["pid"] == int(pid)


def test_memory_is_bounded() -> None:
    code = "try:\n    bytearray(400 << 20)\nexcept MemoryError:\n    print('none')"
    assert output(code, memory_bytes=256 << 20) == "none"
    assert output(code) == ""


def test_a_command_that_is_not_there_says_so() -> None:
    done = subprocess.run(launch_command(["/no/such/thing"]), capture_output=True, text=True, check=False)
    assert done.returncode == UNSTARTED
    assert "/no/such/thing: cannot be executed" in done.stderr


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    noted = tmp_path / "child.json"
    code = (
        "import subprocess, sys, time, pathlib\n"
        "from service.launcher import launch_command\n"
        "command = launch_command([sys.executable, '-c', 'import time; time.sleep(60)'],"
        f" pid_file=pathlib.Path({str(noted)!r}))\n"
        "subprocess.Popen(command, start_new_session=True)\n"
        "time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_for(noted.exists)
    child = json.loads(noted.read_text())["pid"]
    assert is_running(child)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_for(lambda: not is_running(child), what="the child's end")


def test_it_does_not_begin_where_its_parent_has_ended() -> None:
    command = launch_command([sys.executable, "-c", "print('began')"])
    command[command.index("--parent") + 1] = "1"
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, b"")
