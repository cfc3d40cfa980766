"""The section of learning rates: a table of the ten best runs of each setting, and what it bears out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.results.learning_rates.claims import claims
from trainer.results.learning_rates.findings import BASES, BEST, Findings, Result, name_of
from trainer.results.learning_rates.runs import RECIPE, Setting


@dataclass(frozen=True)
class Frame:
    """What all runs have in common.

    Attributes:
        rates: of either network, by optimizer.
        relative: CPU time of a step over that of the first setting.
    """

    steps: int
    samples: int
    rates: Mapping[str, Sequence[float]]
    relative: Mapping[Setting, float]


def render(frame: Frame, results: Sequence[Result]) -> str:
    """The whole section."""
    findings = Findings(results)
    lines = ["## Learning rates", "", _conditions(frame), "", *_table(frame, findings)]
    lines += ["", "What the table bears out, as computed from it:", ""]
    lines += [f"- {sentence}" for sentence in claims(findings)]
    return "\n".join(lines) + "\n"


def _conditions(frame: Frame) -> str:
    grids: dict[str, list[str]] = {}
    for optimizer, rates in frame.rates.items():
        grids.setdefault(", ".join(f"{rate:g}" for rate in rates), []).append(optimizer)
    places = len(next(iter(frame.rates.values())))
    said = "; ".join(f"{', '.join(optimizers)}: {rates}" for rates, optimizers in grids.items())
    return (
        f"The networks of `{RECIPE}`, from the same weights and on the same images in the same order, over a grid of "
        f"{places} × {places} learning rates, generator × discriminator, as in Naganuma and Iiduka 2023. Neighbouring "
        f"rates differ by the same factor for every optimizer ({said}). Adam has β = (0.5, 0.999), SGD no momentum. "
        f"The number is the Fréchet distance of {frame.samples:,} images of the averaged generator to real ones in the "
        f"judge's features, of the {BEST} best of a setting's {places**2} runs; one that diverged counts as infinite. "
        f"Equal steps: {frame.steps:,} of batch size 64. Equal time: as many steps as take the CPU time of "
        f"{frame.steps:,} of {name_of(next(iter(frame.relative)))}; the time of a step was measured with all of them "
        "in turns on one thread, as CPU time of the process, so that a busy machine does not favour any. One seed."
    )


def _table(frame: Frame, findings: Findings) -> list[str]:
    lines = [
        f"| optimizer | λ | time of a step | {' | '.join(f'best {basis.title}' for basis in BASES)} | "
        f"{' | '.join(f'median, std, IQR {basis.title}' for basis in BASES)} | diverged | best rates |",
        f"|---|--:|--:|{'--:|' * (2 * len(BASES))}--:|---|",
    ]
    for setting in findings.settings:
        cells = [setting.optimizer, f"{setting.weight:g}", f"{frame.relative[setting]:.2f}"]
        best = [findings.best(setting, basis) for basis in BASES]
        cells += [_number(each.distances[0]) for each in best]
        cells += [", ".join(map(_number, (each.median, each.deviation, each.quartiles))) for each in best]
        winner = findings.winner(setting, BASES[-1])
        cells += [
            f"{findings.diverged(setting)}/{len(findings.of(setting))}",
            f"{winner.generator_rate:g} × {winner.discriminator_rate:g}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _number(distance: float) -> str:
    return f"{distance:.3g}" if math.isfinite(distance) else "∞"
