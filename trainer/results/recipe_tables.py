"""The section of all recipes: one table of still images, one of sequences, and what is to be said beneath."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.evaluation.comparison import Classes, Likeness
from trainer.results.motion import MeasuredMotion
from trainer.results.yardstick import Measured


@dataclass(frozen=True)
class Row:
    """One recipe.

    Attributes:
        minutes: of training at most.
        at_once: recipes that were trained side by side, each on one core from two on.
        images: training images seen, repeats counted.
        seconds: of training alone.
        wall_seconds: of the whole command, with evaluation and export.
        peak_mib: largest resident memory, MiB.
        verdict: empty, or what went wrong in the words of the trainer.
        measured: of a generator of stills; None where there is no package.
        motion: of a generator of sequences; None likewise.
        reconstruction: error of an encoder's images, see `trainer.evaluation.reconstruction`.
        picture: file name of the sample grid or animation.
    """

    recipe: str
    minutes: float
    at_once: int
    images: int
    seconds: float
    wall_seconds: float
    peak_mib: float
    verdict: str = ""
    measured: Measured | None = None
    motion: MeasuredMotion | None = None
    reconstruction: float | None = None
    picture: str | None = None


@dataclass(frozen=True)
class Frame:
    """What all rows have in common.

    Attributes:
        conditions: how they were trained, one or more sentences.
        samples: generated images that are compared with real ones.
        training_images: as many are drawn for the student.
        pictures: folder of the pictures, as seen from the file.
        remarks: sentences written by hand, by recipe.
    """

    conditions: str
    samples: int
    training_images: int
    real: Measured
    pictures: str
    remarks: Mapping[str, str]


def render(frame: Frame, stills: Sequence[Row], sequences: Sequence[Row]) -> str:
    """The whole section; a kind without rows has no table."""
    lines = ["## Recipes", "", frame.conditions]
    if stills:
        lines += ["", *_stills(frame, stills)]
    if sequences:
        lines += ["", *_sequences(frame, sequences)]
    rows = [*stills, *sequences]
    lines += _listed("Runs that ended early, in the trainer's words:", {row.recipe: row.verdict for row in rows})
    lines += _listed("What the pictures show:", {row.recipe: frame.remarks.get(row.recipe, "") for row in rows})
    return "\n".join(lines) + "\n"


def _stills(frame: Frame, rows: Sequence[Row]) -> list[str]:
    real = frame.real
    lines = [
        "Fréchet distance, precision, recall, density and coverage (Naeem et al. 2020, k = 5) are of "
        f"{frame.samples:,} generated images in the judge's features; `×` is the distance over that of as many real "
        "ones. Balance: the class that is furthest off its share. Labels: images recognised as the class asked for. "
        f"TSTR: accuracy on real held-out images of a network that was trained on {frame.training_images:,} generated "
        "ones alone; the judge is the same network trained on real ones.",
        "",
        "| recipe | minutes | images/s | trained | wall | memory | Fréchet | × | precision | recall | density "
        "| coverage | balance | labels | TSTR | samples |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
        f"| *real images* | | | | | | {_likeness(real.likeness, real.likeness)} | {_classes(real.classes)} | |",
    ]
    for row in rows:
        measured = "— | | | | | | | | "
        if row.measured is not None:
            measured = f"{_likeness(row.measured.likeness, real.likeness)} | {_classes(row.measured.classes)}"
        lines.append(f"| {_training(row)} | {measured} | {_picture(frame, row, 'grid')} |")
    errors = {row.recipe: f"{row.reconstruction:.3f}" for row in rows if row.reconstruction is not None}
    title = "Squared error of held-out images' reconstructions, over that of the mean image:"
    return lines + _listed(title, errors)


def _sequences(frame: Frame, rows: Sequence[Row]) -> list[str]:
    lines = [
        "Sequences, of digits that move and bounce, composed from the same images. In brackets what held-out real "
        "sequences score. Fréchet: distance of single frames as pixels. Amount and smoothness of the motion are 1 "
        "where they are those of real sequences (`trainer/evaluation/sequences.py`). Labels: single frames recognised "
        "as the class asked for. Reconstruction: squared error of held-out sequences over that of the mean one.",
        "",
        "| recipe | minutes | sequences/s | trained | wall | memory | Fréchet | motion | smoothness | labels "
        "| reconstruction | samples |",
        "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        measured = "— | | | | "
        if row.motion is not None:
            generated, real = row.motion.generated, row.motion.real
            cells = [
                f"{generated.frechet:.3g} ({real.frechet:.2g})",
                f"{generated.amount:.2f} ({real.amount:.2f})",
                f"{generated.smoothness:.2f} ({real.smoothness:.2f})",
                _labels(row.motion),
                "" if row.reconstruction is None else f"{row.reconstruction:.3f}",
            ]
            measured = " | ".join(cells)
        lines.append(f"| {_training(row)} | {measured} | {_picture(frame, row, 'animation')} |")
    return lines


def _training(row: Row) -> str:
    cells = [
        f"`{row.recipe}`",
        f"{row.minutes:g}, {'one core' if row.at_once > 1 else 'all cores'}",
        f"{row.images / max(row.seconds, 1e-9):,.0f}",
        f"{row.images:,}",
        f"{row.wall_seconds:,.0f} s",
        f"{row.peak_mib:,.0f} MiB",
    ]
    return " | ".join(cells)


def _likeness(likeness: Likeness, floor: Likeness) -> str:
    ratio = likeness.frechet / max(floor.frechet, 1e-12)
    shares = (likeness.precision, likeness.recall, likeness.density, likeness.coverage)
    return f"{_distance(likeness.frechet)} | {ratio:,.2f} | " + " | ".join(f"{share:.3f}" for share in shares)


def _classes(classes: Classes) -> str:
    labels = "" if classes.accuracy is None else f"{classes.accuracy:.1%}"
    student = "" if classes.student is None else f"{classes.student:.1%}"
    return f"±{classes.imbalance:.1%} | {labels} | {student}"


def _labels(motion: MeasuredMotion) -> str:
    return "" if motion.labels is None else "{:.1%} ({:.1%})".format(*motion.labels)


def _distance(distance: float) -> str:
    return f"{distance:,.0f}" if distance >= 1000 else f"{distance:.3g}"


def _picture(frame: Frame, row: Row, what: str) -> str:
    return f"[{what}](<{frame.pictures}/{row.picture}>)" if row.picture else ""


def _listed(title: str, sentences: Mapping[str, str]) -> list[str]:
    said = [f"- `{recipe}`: {sentence}" for recipe, sentence in sentences.items() if sentence]
    return ["", title, "", *said] if said else []
