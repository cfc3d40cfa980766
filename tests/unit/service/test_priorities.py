"""Threads that compute give way; the others stay as they were."""

import os
import sys
import threading

import pytest

from service.priorities import stand_back
from tests.unit.service.parts import running_batcher

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="niceness is a thread's on Linux alone")


def niceness_of(thread: str) -> int:
    """Of a running thread, by its name."""
    [found] = [each.native_id for each in threading.enumerate() if each.name == thread]
    assert found is not None
    return os.getpriority(os.PRIO_PROCESS, found)


def test_only_the_calling_thread_stands_back() -> None:
    before, seen = os.getpriority(os.PRIO_PROCESS, 0), list[int]()

    def work() -> None:
        stand_back()
        seen.append(os.getpriority(os.PRIO_PROCESS, 0))
        for _ in range(19):
            stand_back()
        seen.append(os.getpriority(os.PRIO_PROCESS, 0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [min(19, before + 2), 19]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


async def test_workers_stand_back_and_the_event_loop_does_not() -> None:
    async with running_batcher(threads=2):
        loop = os.getpriority(os.PRIO_PROCESS, 0)
        assert [niceness_of(f"infer-{i}") > loop for i in range(2)] == [True, True]
