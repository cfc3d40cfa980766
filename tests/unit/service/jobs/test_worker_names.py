"""Whose worker is certainly gone, and whose may not be."""

import os
import subprocess
import sys

from service.jobs.worker_names import is_gone, start_of, worker_name


def test_this_process_is_here() -> None:
    assert not is_gone(worker_name())
    assert start_of(os.getpid()) is not None


def test_a_process_that_has_ended_is_gone() -> None:
    code = "from service.jobs.worker_names import worker_name; print(worker_name())"
    name = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert is_gone(name)


def test_a_number_that_was_given_again_is_another_process() -> None:
    parts = worker_name().split("/")
    assert is_gone("/".join([*parts[:4], "1"]))


def test_of_other_machines_and_namespaces_nothing_is_known() -> None:
    host, boot, namespace, _, _ = worker_name().split("/")
    for place in ("elsewhere", boot, namespace), (host, "00000000", namespace), (host, boot, "1"):
        assert not is_gone("/".join([*place, "999999", "1"]))
    assert not is_gone("anything")
    assert not is_gone("")


def test_a_zombie_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    start = start_of(process.pid)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert start_of(process.pid) is None
    assert start is not None
    process.wait()
