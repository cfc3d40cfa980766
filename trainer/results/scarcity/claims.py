"""The verdict of the study of scarcity, in sentences that follow from its numbers."""

from trainer.results.scarcity.findings import Findings, Gain
from trainer.results.scarcity.plan import (
    BOTH,
    CLASSIC,
    OTHERS_THEMSELVES,
    REAL,
    SYNTHETIC,
    TEACHER_ALONE,
    WITHOUT_TRANSFER,
)

_AIM = 0.01
_NO_GENERATOR = (REAL, CLASSIC, OTHERS_THEMSELVES, TEACHER_ALONE)


def claims(findings: Findings) -> list[str]:
    """One sentence each; what cannot be said yet is left out."""
    gains = _gains(findings, BOTH)
    if not gains:
        return ["No seed has both *classic* and *both* yet."]
    smallest = min(gains)
    sentences = [
        _verdict("Synthetic images with classic augmentation beat classic augmentation alone", gains),
        f"No loss at any size: {_no_loss(gains)}.",
        f"A gain whose interval excludes zero at one size at least: {_yes(any(map(_proven, gains.values())))}.",
        f"A whole point at the smallest size, {smallest} per class: {_yes(gains[smallest].mean >= _AIM)}, "
        f"{_points(gains[smallest])}.",
    ]
    alone = {size: gain for size in findings.sizes if (gain := findings.gain(size, SYNTHETIC, CLASSIC))}
    if alone:
        sentences.append(_verdict("Synthetic images in place of classic augmentation beat it", alone))
    sentences += _best(findings)
    own = _gains(findings, WITHOUT_TRANSFER)
    if own:
        sentences.append(_verdict("From the few images alone, without transfer, synthetic ones help", own))
    sentences += _controls(findings)
    return sentences


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


def _controls(findings: Findings) -> list[str]:
    sentences = []
    others = {size: gain for size in findings.sizes if (gain := findings.gain(size, BOTH, OTHERS_THEMSELVES))}
    if others:
        sentences.append(
            _verdict("The generator gives more than the other digit set itself in the classifier's batches", others)
        )
    teacher = _gains(findings, TEACHER_ALONE)
    if teacher:
        sentences.append(_verdict("The teacher's labels help without a generator", teacher))
    return sentences


def _points(gain: Gain) -> str:
    return f"{100 * gain.mean:+.2f} ± {100 * gain.margin:.2f}" if gain.seeds > 1 else f"{100 * gain.mean:+.2f}"


def _proven(gain: Gain) -> bool:
    return gain.proven


def _yes(holds: bool) -> str:
    return "yes" if holds else "no"
