"""Which claims about conjugate gradients and λ·L_conj the runs bear out, in sentences."""

import math
from collections.abc import Callable, Sequence
from statistics import median

from trainer.results.learning_rates.findings import BASES, Best, Findings, name_of
from trainer.results.learning_rates.runs import Setting

Measure = Callable[[Best], float]
_NO_RULE = ("Adam", "SGD")


def claims(findings: Findings) -> list[str]:
    """One sentence each."""
    return [
        *_against(findings, "Adam", "less sensitive to learning rates than Adam (lower std)", _std),
        *_against(findings, "Adam", "less sensitive than Adam for how good it is (std over median)", _relative),
        *_against(findings, "Adam", "better than Adam (lower median)", _median),
        *_against(findings, "SGD", "better than SGD (lower median)", _median),
        *_weight_claims(findings),
        *_recommendation(findings),
    ]


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
            if setting.optimizer in _NO_RULE or other not in findings.settings:
                continue
            ours, theirs = measure(findings.best(setting, basis)), measure(findings.best(other, basis))
            (holds if ours < theirs else fails).append(name_of(setting))
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
            ours, theirs = findings.best(setting, basis).median, findings.best(without, basis).median
            change = f" ({ours / theirs - 1:+.0%})" if math.isfinite(ours + theirs) else ""
            (holds if ours < theirs else fails).append(f"{setting.optimizer}{change}")
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
        conjugate = [setting for setting in findings.settings if setting.optimizer not in _NO_RULE]
        if conjugate:
            best = min(conjugate, key=lambda setting: findings.best(setting, basis).median)
            run = findings.winner(best, basis)
            sentences.append(
                f"The conjugate rule with the lowest median {basis.title} is {name_of(best)}, best at "
                f"{run.generator_rate:g} for the generator and {run.discriminator_rate:g} for the discriminator."
            )
    return sentences


def _verdict(holds: Sequence[str], fails: Sequence[str]) -> str:
    if not fails:
        return f"holds for all {len(holds)}: {', '.join(holds)}"
    if not holds:
        return f"holds for none of {', '.join(fails)}"
    return f"holds for {', '.join(holds)}; not for {', '.join(fails)}"
