"""The section of learning rates: a table of the ten best runs of each optimizer, and which claims it bears out."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median, pstdev, quantiles

from trainer.results.learning_rate_runs import RECIPE, Outcome, Run, Setting

BEST = 10
_NO_GAT = ("Adam", "SGD")


@dataclass(frozen=True)
class Result:
    """A run and how it ended."""

    run: Run
    outcome: Outcome


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


@dataclass(frozen=True)
class Basis:
    """What is equal for all optimizers when they are compared."""

    title: str
    distance: Callable[[Outcome], float | None]

    def of(self, outcome: Outcome) -> float:
        """The Fréchet distance; infinite where the run had diverged."""
        distance = self.distance(outcome)
        return math.inf if distance is None else distance


BASES = (
    Basis("at equal steps", lambda outcome: outcome.steps),
    Basis("at equal time", lambda outcome: outcome.time),
)


@dataclass(frozen=True)
class Best:
    """The best runs of one setting on one basis: Fréchet distances from small to large, infinite ones included."""

    distances: list[float]

    @property
    def median(self) -> float:
        return median(self.distances)

    @property
    def deviation(self) -> float:
        """Standard deviation, of which Naganuma and Iiduka speak."""
        return pstdev(self.distances) if math.isfinite(self.distances[-1]) else math.inf

    @property
    def quartiles(self) -> float:
        """Distance of the quartiles."""
        if not math.isfinite(self.distances[-1]) or len(self.distances) < 2:
            return math.inf
        lower, _, upper = quantiles(self.distances, n=4, method="inclusive")
        return upper - lower

    @property
    def relative(self) -> float:
        """Standard deviation over median: slow optimizers, all of whose runs are alike, gain nothing by it."""
        return self.deviation / self.median if math.isfinite(self.deviation) else math.inf


class Findings:
    """All results of a study, by setting."""

    def __init__(self, results: Sequence[Result]) -> None:
        self._results = results

    @cached_property
    def settings(self) -> list[Setting]:
        """In the order in which they first occur."""
        return list(dict.fromkeys(result.run.setting for result in self._results))

    def of(self, setting: Setting) -> list[Result]:
        """Every result of one setting."""
        return [result for result in self._results if result.run.setting == setting]

    def best(self, setting: Setting, basis: Basis) -> Best:
        """Its ten best runs, or all where there are fewer."""
        return Best(sorted(basis.of(result.outcome) for result in self.of(setting))[:BEST])

    def winner(self, setting: Setting, basis: Basis) -> Run:
        """Its best run."""
        return min(self.of(setting), key=lambda result: basis.of(result.outcome)).run

    def diverged(self, setting: Setting) -> int:
        """Runs with a loss or an image that was not finite."""
        return sum(None in (result.outcome.steps, result.outcome.time) for result in self.of(setting))

    def ratios(self, without: Setting, setting: Setting, basis: Basis) -> list[float]:
        """Distances of `setting` over those of `without`, at each pair of rates where both are finite."""
        other = {_rates(result.run): basis.of(result.outcome) for result in self.of(without)}
        ours = {_rates(result.run): basis.of(result.outcome) for result in self.of(setting)}
        ratios = [distance / other[rates] for rates, distance in ours.items() if rates in other]
        return [ratio for ratio in ratios if math.isfinite(ratio) and ratio > 0]


def render(frame: Frame, results: Sequence[Result]) -> str:
    """The whole section."""
    findings = Findings(results)
    lines = ["## Learning rates", "", _conditions(frame), "", *_table(frame, findings)]
    lines += ["", "What the table bears out, as computed from it:", ""]
    lines += [f"- {sentence}" for sentence in _claims(findings)]
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
        f"{frame.steps:,} of {_name(next(iter(frame.relative)))}; the time of a step was measured with all optimizers "
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


def _claims(findings: Findings) -> list[str]:
    return [
        *_against(findings, "Adam", "less sensitive to learning rates than Adam (lower std)", _std),
        *_against(findings, "Adam", "less sensitive than Adam for how good it is (std over median)", _relative),
        *_against(findings, "Adam", "better than Adam (lower median)", _median),
        *_against(findings, "SGD", "better than SGD (lower median)", _median),
        *_weight_claims(findings),
        *_recommendation(findings),
    ]


Measure = Callable[[Best], float]


def _std(best: Best) -> float:
    return best.deviation


def _relative(best: Best) -> float:
    return best.relative


def _median(best: Best) -> float:
    return best.median


def _against(findings: Findings, rival: str, claim: str, measure: Measure) -> list[str]:
    """For which conjugate rules `measure` is smaller than that of `rival` with the same λ, on each basis."""
    sentences = []
    for basis in BASES:
        holds: list[str] = []
        fails: list[str] = []
        for setting in findings.settings:
            other = Setting(rival, setting.weight)
            if setting.optimizer in _NO_GAT or other not in findings.settings:
                continue
            ours, theirs = measure(findings.best(setting, basis)), measure(findings.best(other, basis))
            (holds if ours < theirs else fails).append(_name(setting))
        if holds or fails:
            sentences.append(f"{claim[0].upper()}{claim[1:]}, {basis.title}: {_verdict(holds, fails)}.")
    return sentences


def _weight_claims(findings: Findings) -> list[str]:
    """Whether λ above 0 lowers the median, and what it does to pairs of runs that differ in nothing else."""
    sentences = []
    for basis in BASES:
        holds: list[str] = []
        fails: list[str] = []
        ratios: list[float] = []
        for setting in findings.settings:
            without = Setting(setting.optimizer, 0.0)
            if not setting.weight or without not in findings.settings:
                continue
            change = findings.best(setting, basis).median / findings.best(without, basis).median - 1
            (holds if change < 0 else fails).append(f"{setting.optimizer} ({change:+.0%})")
            ratios += findings.ratios(without, setting, basis)
        if ratios:
            better = sum(ratio < 1 for ratio in ratios) / len(ratios)
            sentences.append(
                f"λ·L_conj helps (lower median), {basis.title}: {_verdict(holds, fails)}. Over the {len(ratios)} pairs "
                f"of runs that differ in λ alone it multiplies the distance by {median(ratios):.2f} in the median, and "
                f"lowers it in {better:.0%}."
            )
    return sentences


def _recommendation(findings: Findings) -> list[str]:
    sentences = []
    for basis in BASES:
        conjugate = [setting for setting in findings.settings if setting.optimizer not in _NO_GAT]
        if conjugate:
            best = min(conjugate, key=lambda setting: findings.best(setting, basis).median)
            run = findings.winner(best, basis)
            sentences.append(
                f"The conjugate rule with the lowest median {basis.title} is {_name(best)}, best at "
                f"{run.generator_rate:g} for the generator and {run.discriminator_rate:g} for the discriminator."
            )
    return sentences


def _verdict(holds: Sequence[str], fails: Sequence[str]) -> str:
    if not fails:
        return f"holds for all {len(holds)}: {', '.join(holds)}"
    if not holds:
        return f"holds for none of {', '.join(fails)}"
    return f"holds for {', '.join(holds)}; not for {', '.join(fails)}"


def _name(setting: Setting) -> str:
    return f"{setting.optimizer} with λ" if setting.weight else setting.optimizer


def _number(distance: float) -> str:
    return f"{distance:.3g}" if math.isfinite(distance) else "∞"


def _rates(run: Run) -> tuple[float, float]:
    return run.generator_rate, run.discriminator_rate
