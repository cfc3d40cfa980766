"""The section of compression: one table, and which targets it meets."""

from collections.abc import Sequence

from trainer.results.compression.plan import BATCHES, FORMS, MODELS, TARGETS, Row, Target


def render(data: str, minutes: float, steps: int, samples: int, rows: Sequence[Row]) -> str:
    """Markdown with a second-level heading.

    Args:
        steps: of distillation.
        samples: images that were compared.
    """
    vnni = {row.vnni for row in rows if not row.verdict}
    processor = "" if len(vnni) != 1 else f"; the processor has {'' if vnni == {True} else 'no '}VNNI"
    lines = [
        "## Compression",
        "",
        f"Generators of {data}, each trained for {minutes:g} min, in every form that `latentd quantize` and `latentd "
        f"prune` make of it. Size and speed are ratios to the model's own fp32 graph: bytes of the file, and images "
        f"per second in batches of {', '.join(map(str, BATCHES))} on one thread, medians of rounds in turns"
        f"{processor}. PSNR is against the images of fp32 on {samples:,} fresh latents, pruned forms too. Fréchet "
        "distances are to real training images, fp32 → form; in features of a judge of the images at their size, of "
        "pixels for sequences. Labels: share of images that are read as the class asked for, fp32 → form. Pruned: half "
        f"of the channels of every layer, then {steps:,} steps of distillation without images. *Bits*: whether an "
        "image is the same to the bit in batches of any size.",
        "",
        f"| generator | form | size | {' | '.join(f'speed ×{batch}' for batch in BATCHES)} | PSNR | Fréchet | labels | "
        "bits |",
        f"|---|---|--:|{'--:|' * len(BATCHES)}--:|--:|--:|---|",
    ]
    lines += [_line(row) for row in sorted(rows, key=_place)]
    judged = [sentence for target in TARGETS if (sentence := _judged(target, rows))]
    if judged:
        lines += ["", "Targets, for convolutional generators on a processor with VNNI, as computed from the table:", ""]
        lines += [f"- {sentence}" for sentence in judged]
    return "\n".join(lines) + "\n"


def _place(row: Row) -> tuple[int, int]:
    titles, forms = [model.title for model in MODELS], [form.title for form in FORMS]
    return titles.index(row.title), forms.index(row.form)


def _line(row: Row) -> str:
    if row.verdict:
        return f"| {row.title} | {row.form} | {row.verdict} {'|' * (len(BATCHES) + 5)}"
    psnr = "same" if row.psnr_db is None else f"{row.psnr_db:.1f} dB"
    after, before = row.frechet
    labels = "" if row.accuracy is None else f"{row.accuracy[1]:.1%} → {row.accuracy[0]:.1%}"
    cells = [row.title, row.form, f"{row.size:.2f}", *(f"{speed:.2f}" for speed in row.speeds), psnr]
    cells += [f"{before:.3g} → {after:.3g}", labels, "same" if row.reproducible else "differ"]
    return f"| {' | '.join(cells)} |"


def _judged(target: Target, rows: Sequence[Row]) -> str:
    """Which generators keep a bound; empty where none was measured."""
    titles = {model.title for model in MODELS if model.convolutional}
    held = [row for row in rows if row.form == target.form and row.title in titles and not row.verdict]
    values = {row.title: value for row in held if (value := target.value(row)) is not None}
    if not values:
        return ""
    met = [title for title, value in values.items() if target.met(value)]
    missed = [f"{title} ({value:.3g})" for title, value in values.items() if title not in met]
    if not missed:
        return f"{target}: met by all {len(met)}."
    return f"{target}: missed by {', '.join(missed)}; met by {', '.join(met) or 'none'}."
