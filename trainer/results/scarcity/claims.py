"""The verdict of the study of scarcity, in sentences that follow from its numbers."""

from trainer.results.scarcity.findings import Findings, Gain
from trainer.results.scarcity.plan import (
    BOTH,
    CLASSIC,
    OTHERS_THEMSELVES,
    REAL,
    SYNTHETIC,
    TRANSFER,
)

_AIM = 0.01
_NO_GENERATOR = (REAL, CLASSIC, OTHERS_THEMSELVES)


def claims(findings: Findings) -> list[str]:
    """One sentence each; what cannot be said yet is left out."""
    gains = _gains(findings, BOTH)
    if not gains:
        return ["No seed has both *classic* and *both* yet."]
    sentences = [
        _verdict("Synthetic images of a generator that knows the few alone add to classic augmentation", gains),
        *_aims("both", gains),
    ]
    alone = _gains(findings, SYNTHETIC)
    if alone:
        sentences.append(_verdict("They beat classic augmentation when they take its place", alone))
    transfer = _gains(findings, TRANSFER)
    if transfer:
        sentences.append(_verdict("Images of a generator of another digit set add to classic augmentation", transfer))
        sentences += _aims("transfer", transfer)
    return [*sentences, *_best(findings), *_control(findings)]


def _aims(arm: str, gains: dict[int, Gain]) -> list[str]:
    smallest = min(gains)
    return [
        f"Aims, *{arm}*: no loss at any size: {_no_loss(gains)}; a gain whose interval excludes zero at one size at "
        f"least: {_yes(any(map(_proven, gains.values())))}; a whole point at the smallest size, {smallest} per class: "
        f"{_yes(gains[smallest].mean >= _AIM)}, {_points(gains[smallest])}."
    ]


def _gains(findings: Findings, arm: str) -> dict[int, Gain]:
    return {size: gain for size in findings.sizes if (gain := findings.gain(size, arm, CLASSIC))}


def _verdict(claim: str, gains: dict[int, Gain]) -> str:
    groups = {
        "proven at": [size for size, gain in gains.items() if gain.proven],
        "open at": [size for size, gain in gains.items() if not gain.proven and not gain.refuted],
        "the contrary is proven at": [size for size, gain in gains.items() if gain.refuted],
    }
    said = [
        f"{how} {', '.join(f'{size} ({_points(gains[size])})' for size in sizes)}"
        for how, sizes in groups.items()
        if sizes
    ]
    return f"{claim}: {'; '.join(said)} per class."


def _no_loss(gains: dict[int, Gain]) -> str:
    lost = [size for size, gain in gains.items() if gain.mean < 0]
    if not lost:
        return "yes, no mean is below zero"
    proven = [size for size in lost if gains[size].refuted]
    where = f"the mean is below zero at {', '.join(map(str, lost))} per class"
    return f"no, {where}, " + (f"beyond doubt at {', '.join(map(str, proven))}" if proven else "within the interval")


def _best(findings: Findings) -> list[str]:
    """Per size; the best of several is picked with the very images it is judged on, which flatters it."""
    arms = [arm.name for arm in findings.arms(*_NO_GENERATOR, SYNTHETIC)]
    if len(arms) < 2:
        return []
    found = []
    for size in findings.sizes:
        gains = {arm: gain for arm in arms if (gain := findings.gain(size, arm, CLASSIC))}
        if gains:
            best = max(gains, key=lambda arm: gains[arm].mean)
            found.append(f"{size}: {best} ({_points(gains[best])})")
    return [
        f"The best of {len(arms)} configurations with a generator, by real images per class: {'; '.join(found)}. They "
        "were picked on the images that judge them, which flatters them."
    ]


def _control(findings: Findings) -> list[str]:
    others = {size: gain for size in findings.sizes if (gain := findings.gain(size, TRANSFER, OTHERS_THEMSELVES))}
    if not others:
        return []
    return [_verdict("Its generator gives more than the other digit set itself in the classifier's batches", others)]


def _points(gain: Gain) -> str:
    return f"{100 * gain.mean:+.2f} ± {100 * gain.margin:.2f}" if gain.seeds > 1 else f"{100 * gain.mean:+.2f}"


def _proven(gain: Gain) -> bool:
    return gain.proven


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
