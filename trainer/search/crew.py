"""Workers of one command: threads, each of which sees one training process after the other to its end."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import FileIO

from trainer.search.folder import Task, TaskFolder
from trainer.search.locks import try_lock
from trainer.search.objective import FIRST_SEED
from trainer.search.process import Ending, run_process
from trainer.search.search_config import STEPS, SearchConfig
from trainer.search.study import SharedStudy
from trainer.signals import StopRequest

_IDLE_SECONDS = 0.5
_LOOK_SECONDS = 0.2


class Crew:
    """So many workers; one command's share of all that work on the folder."""

    def __init__(self, workers: int, config: SearchConfig) -> None:
        self._workers, self._config = workers, config
        self._threads = max(1, _cores() // workers)
        self._stop = threading.Event()

    def run_trials(self, study: SharedStudy, signals: StopRequest, look: Callable[[], None]) -> None:
        """Work until every trial of the study has ended, those of other commands included, or a signal comes.

        Args:
            look: called several times per second.
        """
        self._run(partial(self._work_on_trials, study), signals, look)

    def run_all(
        self, orders: Sequence[tuple[TaskFolder, Task]], signals: StopRequest, look: Callable[[], None]
    ) -> None:
        """Work until every one of `orders` has ended, those taken by other commands included, or a signal comes."""
        self._run(partial(self._work_on, orders), signals, look)

    def _run(self, work: Callable[[], None], signals: StopRequest, look: Callable[[], None]) -> None:
        with ThreadPoolExecutor(self._workers) as pool:
            futures = [pool.submit(work) for _ in range(self._workers)]
            try:
                while not all(future.done() for future in futures):
                    failed = any(future.done() and future.exception() for future in futures)
                    if signals.requested or failed:
                        self._stop.set()
                    look()
                    time.sleep(_LOOK_SECONDS)
            except BaseException:
                self._stop.set()
                raise
        for future in futures:
            future.result()
        look()

    def _work_on_trials(self, study: SharedStudy) -> None:
        while not self._stop.is_set():
            with study.claim() as claim:
                if claim is None:
                    if study.finished:
                        return
                    self._stop.wait(_IDLE_SECONDS)
                    continue
                settings = (*self._config.settings, *study.space.settings(claim.trial.params))
                task = Task(self._config.recipe, settings, FIRST_SEED, STEPS)
                watch = partial(study.report, claim)
                ending = self._run_process(claim.folder, task, claim.lock, watch)
                if ending != "interrupted":
                    study.tell(claim, ending)
                elif self._stop.is_set():
                    study.put_back(claim)

    def _work_on(self, orders: Sequence[tuple[TaskFolder, Task]]) -> None:
        while not self._stop.is_set():
            open_orders = [(folder, task) for folder, task in orders if folder.outcome() is None]
            if not open_orders:
                return
            if not any(self._take(folder, task) for folder, task in open_orders):
                self._stop.wait(_IDLE_SECONDS)

    def _take(self, folder: TaskFolder, task: Task) -> bool:
        """Run `task` unless somebody else does."""
        lock = try_lock(folder.worker)
        if lock is None:
            return False
        with lock:
            self._run_process(folder, task, lock, lambda _step, _scores: True)
        return True

    def _run_process(
        self, folder: TaskFolder, task: Task, lock: FileIO, watch: Callable[[int, dict[str, float]], bool]
    ) -> Ending:
        return run_process(folder, task, lock, threads=self._threads, stop=self._stop.is_set, watch=watch)


def _cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
