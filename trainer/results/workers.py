"""Worker processes that hold one object each, so that a task names only what differs."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
_of_this_process: list[object] = []


@contextmanager
def worker_pool(workers: int, bench: object) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes that hold `bench`, since a fork would inherit PyTorch's threads.

    The end of the block waits for what runs, and drops what has not begun.
    """
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _prepare, (bench,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def bench_of_this_process(kind: type[T]) -> T:
    """What this worker holds."""
    (bench,) = _of_this_process
    assert isinstance(bench, kind)
    return bench


def _prepare(bench: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _of_this_process.append(bench)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for its next run for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
