"""`trainer/RESULTS.md`: what was measured of each recipe, and on what machine."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from trainer.evaluation.comparison import Classes, Likeness

_PACKAGES = ("torch", "lightning-fabric", "numpy", "scikit-learn", "onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True)
class Row:
    """One recipe.

    Attributes:
        verdict: empty, or what went wrong in the words of the trainer.
        likeness: None where there is no package to measure.
        classes: None for sequences and where there is no package.
        grid: file name of the sample grid.
    """

    recipe: str
    images: int
    seconds: float
    wall_seconds: float
    peak_mib: float
    verdict: str
    likeness: Likeness | None
    classes: Classes | None
    grid: str | None


@dataclass(frozen=True)
class Heading:
    """What all rows have in common.

    Attributes:
        floor: what real images score, per kind of features.
        judge_accuracy: of the judge on held-out real images.
        pictures: folder of the sample grids, as seen from the file.
    """

    data: str
    minutes: float
    samples: int
    floor: Likeness | None
    judge_accuracy: float | None
    pictures: str


def render(heading: Heading, rows: Sequence[Row]) -> str:
    """The whole file."""
    lines = [
        "# Results",
        "",
        f"Written by `make results` on {datetime.now(UTC):%Y-%m-%d}; run it again to refresh what has changed. "
        f"Every recipe was trained on {heading.data} for at most {heading.minutes:g} min with seed 0, one run each.",
        "",
        f"- Machine: {_machine()}",
        f"- Versions: {_versions()}",
        f"- Samples: {heading.samples:,} per recipe, fp32, against the training images that are not in the floor.",
    ]
    if heading.judge_accuracy is not None:
        lines.append(
            f"- Judge: a small convolutional network trained on the training images, {heading.judge_accuracy:.1%} "
            "accurate on held-out ones; its hidden layer is the feature space."
        )
    lines += [
        "- `×` is the Fréchet distance over that of real images of the same number (the floor). Precision, recall, "
        "density and coverage after Naeem et al. 2020, k = 5. Balance: the class that is furthest off its share. "
        "TSTR: accuracy on real held-out images of a network trained on the samples alone.",
        "",
        "| recipe | images/s | trained | wall | memory | Fréchet | × | precision | recall | density | coverage "
        "| balance | labels | TSTR | samples |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    if heading.floor is not None:
        lines.append(f"| *real images* | | | | | {_likeness(heading.floor, heading.floor)} | | | | |")
    lines += [_row(row, heading) for row in rows]
    failed = [row for row in rows if row.verdict]
    if failed:
        lines += ["", "Runs that ended early, in the trainer's words:", ""]
        lines += [f"- `{row.recipe}`: {row.verdict}" for row in failed]
    return "\n".join(lines) + "\n"


def _row(row: Row, heading: Heading) -> str:
    likeness = "— | | | | | " if row.likeness is None else _likeness(row.likeness, heading.floor)
    classes = row.classes
    cells = [
        f"`{row.recipe}`",
        f"{row.images / max(row.seconds, 1e-9):,.0f}",
        f"{row.images:,}",
        f"{row.wall_seconds:,.0f} s",
        f"{row.peak_mib:,.0f} MiB",
        likeness,
        "" if classes is None else f"{classes.imbalance:+.1%}".replace("+", "±"),
        "" if classes is None or classes.accuracy is None else f"{classes.accuracy:.1%}",
        "" if classes is None or classes.student is None else f"{classes.student:.1%}",
        f"[grid](<{heading.pictures}/{row.grid}>)" if row.grid else "",
    ]
    return f"| {' | '.join(cells)} |"


def _likeness(likeness: Likeness, floor: Likeness | None) -> str:
    ratio = "" if floor is None else f"{likeness.frechet / max(floor.frechet, 1e-12):,.2f}"
    shares = (likeness.precision, likeness.recall, likeness.density, likeness.coverage)
    return f"{likeness.frechet:.3g} | {ratio} | " + " | ".join(f"{share:.3f}" for share in shares)


def _machine() -> str:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    names = Path("/proc/cpuinfo")
    model = platform.machine()
    if names.exists():
        found = [line.partition(":")[2].strip() for line in names.read_text().splitlines() if "model name" in line]
        model = found[0] if found else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {cores} cores, {memory:.0f} GiB of memory, {platform.system()}"


def _versions() -> str:
    installed = []
    for name in _PACKAGES:
        try:
            installed.append(f"{name} {version(name)}")
        except ModuleNotFoundError:
            continue
    return ", ".join([f"Python {platform.python_version()}", *installed])
