"""A data-set job's process: ``python -m service.jobs.data_set_process FOLDER``.

Runs what `latentd synthesize` runs, to the same bytes, and says in the folder's event file how far it is. A folder of
thousands of images is packed into archives, since the result is downloaded file by file.
"""

import os
import shutil
import signal
import sys
import time
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from runtime.errors import PackageError
from runtime.event_file import EventFile
from runtime.fine_tuning import EVENTS_FILE, ExitCode
from runtime.package import open_package
from runtime.synthesis.errors import SynthesisError, WorkplaceTaken
from runtime.synthesis.run import make_plan, synthesize
from runtime.synthesis.workplace import CARD_FILE, DATASET_FILE, open_workplace
from service.jobs.data_set_order import DataSetOrder, DataSetResult, read_order, write_result

PARTS_FOLDER = "parts"
_REPORT_FILE = "report.html"
_SAY_EVERY_S = 1.0
_FILES_PER_ARCHIVE = 10_000


def main(folder: Path) -> int:
    """Do what the folder's order says, or the rest of it; returns an `ExitCode`."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        order = read_order(folder)
    except ValueError as error:
        print(error, file=sys.stderr)
        return ExitCode.USAGE
    try:
        return _work(folder, order)
    except (OSError, MemoryError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return ExitCode.MACHINE
    except Exception:  # noqa: BLE001 - exit code 1, which Python would choose, means something else
        traceback.print_exc()
        return ExitCode.DEFECT


def _work(folder: Path, order: DataSetOrder) -> ExitCode:
    target = Path(order.folder)
    try:
        with open_workplace(target) as place:  # from here on no other process writes in the job's folder
            events = EventFile(folder / EVENTS_FILE, order.attempt)
            try:
                package = open_package(Path(order.package))
                plan = make_plan(package, order.options)
                outcome = synthesize(package, plan, place, begin=_progress(events, plan.rows))
            except (SynthesisError, PackageError) as error:
                events.append("failed", reason=str(error))
                return ExitCode.UNUSABLE
    except WorkplaceTaken as error:
        print(error, file=sys.stderr)
        return ExitCode.NOT_OURS
    except SynthesisError as error:  # of the folder itself
        print(error, file=sys.stderr)
        return ExitCode.UNUSABLE
    report = package.path / _REPORT_FILE
    parts = _data_files(target)
    if order.format == "folder":
        parts = _packed(target, parts, folder / PARTS_FOLDER)
    if order.include_report and report.is_file():
        parts.append(report)
    parts += [target / CARD_FILE, target / DATASET_FILE]
    events.append("complete", message=f"{outcome.rows:,} images in {len(parts)} files", rows=outcome.rows)
    write_result(folder, DataSetResult(job=order.job, rows=outcome.rows, parts=[str(part) for part in parts]))
    return ExitCode.PUBLISHED


def _progress(events: EventFile, total: int) -> Callable[[int], Callable[[int], object]]:
    """Says from time to time how many rows there are; the first and the last time always."""

    def begin(resumed: int) -> Callable[[int], object]:
        done, said = resumed, 0.0
        began = time.monotonic()
        events.append("started", message=f"{resumed:,} of {total:,} images are there", rows=resumed, total=total)

        def progress(rows: int) -> None:
            nonlocal done, said
            done += rows
            now = time.monotonic()
            if rows and (now - said >= _SAY_EVERY_S or done == total):
                said = now
                rate = (done - resumed) / max(now - began, 1e-9)
                text = f"{done:,} of {total:,} images, {rate:,.0f} per second"
                events.append("progress", message=text, rows=done, total=total, images_per_second=round(rate, 1))

        return progress

    return begin


def _data_files(data_set: Path) -> list[Path]:
    """The files of a complete set in order, without those that describe it."""
    files = sorted(path for path in data_set.rglob("*") if path.is_file())
    return [path for path in files if path not in (data_set / CARD_FILE, data_set / DATASET_FILE)]


def _packed(data_set: Path, files: list[Path], packed: Path) -> list[Path]:
    """Archives of `files`; made anew, so that what a killed process left is of no matter."""
    shutil.rmtree(packed, ignore_errors=True)
    packed.mkdir()
    archives = []
    for number, start in enumerate(range(0, len(files), _FILES_PER_ARCHIVE)):
        archives.append(packed / f"images-{number:05d}.zip")
        _pack(archives[-1], data_set, files[start : start + _FILES_PER_ARCHIVE])
    return archives


def _pack(archive: Path, root: Path, files: list[Path]) -> None:
    """A zip file without a time in it: equal sets make equal archives."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for path in files:
            info = zipfile.ZipInfo(path.relative_to(root).as_posix())
            info.external_attr = 0o644 << 16
            file.writestr(info, path.read_bytes())


def _stop(number: int, _frame: FrameType | None) -> None:
    """What is done is in the journal; workers end with this process."""
    os._exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
