"""What compression did, for people."""

from runtime.manifest import AgainstReal, Manifest, Parity, Precision


def describe_entry(manifest: Manifest, precision: Precision, reference_size: int) -> list[str]:
    """Size, speed and fidelity of one precision, a line each, and its bars that are missed."""
    entry = manifest.precisions[precision]
    lines = [
        f"{precision}: {entry.size / reference_size:.2f} of the size ({entry.size / 1024:,.0f} KiB of "
        f"{reference_size / 1024:,.0f})" + ("" if entry.speed is None else f", {entry.speed:.2f} times as fast"),
        _distance(entry.parity),
    ]
    if entry.parity.real is not None:
        lines.append(_against_real(entry.parity.real))
    if not entry.reproducible:
        lines.append("  not reproducible: images depend on their batch; served to those who ask for it by name")
    return lines + [f"  misses {each.expression}: {each.value:.4g}" for each in entry.missed()]


def _distance(parity: Parity) -> str:
    psnr = "no difference" if parity.psnr_db is None else f"{parity.psnr_db:.1f} dB"
    frechet = "" if parity.frechet_distance is None else f", Fréchet {parity.frechet_distance:.3g} in {parity.features}"
    whose = "the parent" if parity.against == "parent" else "fp32"
    return (
        f"  from {whose}: {psnr}, at most {parity.max_abs} levels, {parity.mean_abs:.2f} on average over "
        f"{parity.images:,} images{frechet}"
    )


def _against_real(real: AgainstReal) -> str:
    labels = ""
    if real.label_accuracy is not None and real.reference_label_accuracy is not None:
        labels = f"; label accuracy {real.reference_label_accuracy:.1%} → {real.label_accuracy:.1%}"
    return (
        f"  from {real.images:,} real images: Fréchet {real.reference_frechet_distance:.3g} → "
        f"{real.frechet_distance:.3g}{labels}"
    )
