"""The section of scarcity: two tables, a plot, and what they bear out."""

from statistics import mean

from trainer.results.scarcity.claims import claims
from trainer.results.scarcity.classifier import BATCH
from trainer.results.scarcity.findings import Findings, Gain
from trainer.results.scarcity.plan import BOTH, CLASSIC, REAL, SYNTHETIC, TRANSFER, Extra

_FIRST = (REAL, CLASSIC, SYNTHETIC, BOTH, TRANSFER)
_PAIRS = ((SYNTHETIC, REAL), (BOTH, CLASSIC), (TRANSFER, CLASSIC))


def render(findings: Findings, data: str, plot: str) -> str:
    """Markdown with a second-level heading.

    Args:
        plot: link to it, as seen from the file of results.
    """
    lines = ["## Scarcity", "", _conditions(findings, data), ""]
    if not findings.sizes:
        return "\n".join([*lines, "Nothing is measured yet."]) + "\n"
    lines += [*_arms(findings), "", f"![Errors and gains by real images per class](<{plot}>)", ""]
    lines += ["What the numbers bear out, as computed from them:", ""]
    lines += [f"- {sentence}" for sentence in claims(findings)]
    if findings.arms(*_FIRST):
        lines += ["", "### Configurations", "", _explained(findings), "", *_configurations(findings)]
    return "\n".join(lines) + "\n"


def percent(gain: Gain | None) -> str:
    """In percentage points, with the half width of the interval; bold where the interval excludes zero."""
    if gain is None:
        return ""
    text = f"{100 * gain.mean:+.2f} ± {100 * gain.margin:.2f}" if gain.seeds > 1 else f"{100 * gain.mean:+.2f}"
    return f"**{text}**" if gain.proven or gain.refuted else text


def _conditions(findings: Findings, data: str) -> str:
    plan = findings.plan
    own = next((arm.extra for arm in plan.arms if arm.name == BOTH and arm.extra), None)
    return (
        f"Classifiers that know nothing of {data} but a few real training images of each class, judged on all of its "
        "held-out images. *Real*: those images alone. *Classic*: each changed at random in every batch (turned, "
        "slanted, scaled, moved, distorted elastically). *Synthetic*: beside images of a generator that was trained on "
        "the same few alone. *Both*: with classic augmentation, too. *Transfer*: as *both*, the images from a "
        "generator that was trained on scikit-learn's digits, brought to this size, and has seen none of the few: "
        "the best of the configurations in a pilot on other subsets, which was begun when *other digits themselves* "
        f"(below) had done well with the first seed. Every arm takes {plan.steps} steps with batches "
        f"of {BATCH}. A seed decides the real images, the generator and the classifier; there are "
        f"{len(plan.seeds)} of them. "
        "Intervals are 95 % t intervals of differences paired by seed, in percentage points; bold where they exclude "
        f"zero. {_added(own)}"
    )


def _added(extra: Extra | None) -> str:
    if extra is None:
        return ""
    return (
        f"The synthetic images: {extra.per_class:,} of each class, which count as much as {extra.worth:g} real ones of "
        "each class, so that their share of a batch falls as real images become more. That was settled before these "
        "seeds were run."
    )


def _arms(findings: Findings) -> list[str]:
    lines = [
        "| real images per class | seeds | real | classic | synthetic | both | transfer | synthetic − real | "
        "both − classic | transfer − classic | newness of both | of transfer |",
        f"|{'--:|' * 12}",
    ]
    for size in findings.sizes:
        found = [findings.accuracies(size, arm) for arm in _FIRST]
        cells = [str(size), str(max(map(len, found)))]
        cells += [f"{mean(values):.2%}" if values else "" for values in found]
        cells += [percent(findings.gain(size, ours, theirs)) for ours, theirs in _PAIRS]
        for arm in (BOTH, TRANSFER):
            newness = findings.newness(size, arm)
            cells.append("" if newness is None else f"{newness:.2f}")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _explained(findings: Findings) -> str:
    return (
        "Gain over *classic* in percentage points; each row changes one thing in *transfer*, or in *both* where there "
        f"is no other digit set. Generators are runs of `{findings.plan.recipe}` with translation and cutout before "
        "the discriminator, those of the few on classic variations of them. *Tuned to the few*: the generator of the "
        "other digit set, trained on with such variations and those digits. *Surer* images are those whose label the "
        "classifier of *classic* gives the highest probability, *newer* ones those farthest from the few. Newness "
        "(above) is the median distance of a synthetic image to the nearest of the few real ones over that of another "
        "real image: 0 is a copy. *Other digits themselves* uses no generator: that set in the classifier's batches."
    )


def _configurations(findings: Findings) -> list[str]:
    lines = [
        f"| configuration | {' | '.join(f'{size} per class' for size in findings.sizes)} |",
        f"|---|{'--:|' * len(findings.sizes)}",
    ]
    for arm in findings.arms(*_FIRST):
        gains = [percent(findings.gain(size, arm.name, CLASSIC)) for size in findings.sizes]
        lines.append(f"| {arm.name} | {' | '.join(gains)} |")
    return lines
