"""Parts, drawn and written here or in processes of their own.

Processes, not threads: encoding and packing small images is Python's own work. They are spawned, not forked, and end
with the process that started them, however that ends.
"""

import multiprocessing as mp
import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Protocol

from runtime.errors import PackageError
from runtime.generator import Generator
from runtime.package import Package
from runtime.synthesis.drawing import Chunk, Drawer, Filter, Tally
from runtime.synthesis.errors import SynthesisError
from runtime.synthesis.plan import Part
from runtime.synthesis.workplace import PartRecord
from runtime.synthesis.writers import WRITERS, Target

_REPORT_S = 0.25
_SPAWN = mp.get_context("spawn")


@dataclass(frozen=True)
class Job:
    """What a worker needs to do any part.

    Attributes:
        attempts: candidates that a row may have.
    """

    package: Package
    target: Target
    filters: tuple[Filter, ...]
    attempts: int


@dataclass(frozen=True)
class _Failure:
    """How a worker ended; exceptions themselves do not all survive the way.

    Attributes:
        foreseen: whether `text` is for the user, and not a trace.
    """

    text: str
    foreseen: bool


class Counter(Protocol):
    """Rows done so far, in shared memory."""

    value: int


def do_parts(job: Job, parts: Sequence[Part], workers: int, progress: Callable[[int], object]) -> Iterator[PartRecord]:
    """Do `parts` and yield each as it is finished, in any order.

    Args:
        workers: processes; with 1 it is done in this one.
        progress: called with the rows done since the last call.

    Raises:
        SynthesisError: a row that no candidate fills, a worker that was killed, or whatever else one met.
        PackageError: the package does not verify, found in this process.
    """
    if workers == 1 or len(parts) == 1:
        worker = _Worker(job, progress)
        yield from map(worker.do, parts)
        return
    with _Crew(job, min(workers, len(parts))) as crew:
        yield from crew.do(parts, progress)


class _Worker:
    """Does one part after another."""

    def __init__(self, job: Job, progress: Callable[[int], object]) -> None:
        plan = job.target.plan
        generator = Generator(job.package, plan.precision, providers=[plan.provider])
        self._drawer = Drawer(generator, plan, job.filters, job.attempts)
        self._writer = WRITERS[plan.format](job.target)
        self._progress = progress

    def do(self, part: Part) -> PartRecord:
        tally = Tally()
        files = self._writer.write(part, self._counted(self._drawer.draw(part, tally)))
        return PartRecord(part=part.index, files=files, attempts=tally.attempts, dropped=tally.dropped)

    def _counted(self, chunks: Iterable[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            yield chunk
            self._progress(len(chunk))


class _Crew:
    """Worker processes, each with a pipe: a part goes in, its record or an error comes out."""

    def __init__(self, job: Job, size: int) -> None:
        self._rows = _SPAWN.Value("q", 0)
        self._processes: dict[Connection, BaseProcess] = {}
        for _ in range(size):
            ours, theirs = _SPAWN.Pipe()
            process = _SPAWN.Process(target=_serve, args=(job, theirs, self._rows), daemon=True)
            process.start()
            theirs.close()
            self._processes[ours] = process

    def __enter__(self) -> "_Crew":
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.terminate()
        for process in self._processes.values():
            process.join()

    def do(self, parts: Sequence[Part], progress: Callable[[int], object]) -> Iterator[PartRecord]:
        waiting = iter(parts)
        busy = {connection for connection in self._processes if _send_next(connection, waiting)}
        shown = 0
        while busy:
            ready = wait(list(busy), timeout=_REPORT_S)
            done = self._rows.value
            progress(done - shown)
            shown = done
            for connection in ready:
                assert isinstance(connection, Connection)
                yield self._receive(connection)
                if not _send_next(connection, waiting):
                    busy.discard(connection)

    def _receive(self, connection: Connection) -> PartRecord:
        try:
            answer = connection.recv()
        except (EOFError, OSError):
            process = self._processes[connection]
            process.join()
            raise SynthesisError(
                f"a worker ended with exit code {process.exitcode} (-9: killed, often for want of memory; "
                "fewer --workers take less); the same command goes on"
            ) from None
        if isinstance(answer, _Failure):
            raise (SynthesisError if answer.foreseen else RuntimeError)(answer.text)
        assert isinstance(answer, PartRecord)
        return answer


def _send_next(connection: Connection, parts: Iterator[Part]) -> bool:
    part = next(parts, None)
    if part is not None:
        connection.send(part)
    return part is not None


def _serve(job: Job, connection: Connection, rows: Counter) -> None:
    """A worker's life."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def progress(count: int) -> None:
        with rows.get_lock():  # type: ignore[attr-defined]
            rows.value += count

    try:
        worker = _Worker(job, progress)
        while True:
            connection.send(worker.do(connection.recv()))
    except (EOFError, BrokenPipeError):
        return
    except (SynthesisError, PackageError, OSError) as error:
        connection.send(_Failure(str(error), foreseen=True))
    except Exception as error:  # noqa: BLE001 - it has to reach the parent, which stops
        connection.send(_Failure(f"a worker failed: {error}\n{traceback.format_exc()}", foreseen=False))


def _end_with_parent() -> None:
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
