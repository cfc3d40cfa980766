"""`latentd quantize`: from a package to its next version, with one more precision or another graph for one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from runtime.manifest import Manifest, Precision, PrecisionFile
from runtime.package import Package
from runtime.references import find_package
from runtime.store import DirectoryStore
from trainer.compress.base import QuantizationMethod
from trainer.compress.fidelity import BarsConfig, RealSide, measure_fidelity
from trainer.compress.quantization import METHODS, check_supported, quantize, read_architecture
from trainer.compress.real_images import open_real_side
from trainer.compress.speed import BATCH, speed_ratio
from trainer.compress.versions import (
    check_bars,
    copy_files,
    publish_version,
    record_outputs,
    recorded_probe,
    reference_graph,
    stored_graph,
    with_graphs,
)
from trainer.compress.words import describe_entry
from trainer.export import GraphSession, check_in_subprocess, graph_file
from trainer.parity import is_reproducible
from trainer.probes import CALIBRATION_SEED, PARITY_SEED, draw_probe
from trainer.training import check_name

Say = Callable[[str], None]


@dataclass(frozen=True)
class QuantizeRequest:
    """The command line of `latentd quantize`.

    Attributes:
        package: a package's folder, ``name@version``, or a name, whose latest version is taken.
        name: of the new version in the store; None: the package's.
        data: real images, as for `latentd train`, or ``sklearn-digits``; None: fidelity to fp32 alone.
        samples: images on which graphs are compared.
        force: publish below a bar, marked.
        cache: where judges and decoded images are kept.
    """

    package: str
    store: Path
    config: METHODS
    bars: BarsConfig
    samples: int
    cache: Path
    name: str | None = None
    data: str | None = None
    force: bool = False


def quantize_package(request: QuantizeRequest, say: Say) -> Package:
    """Make the graph, compare it, and publish the next version; the parent stays as it is.

    Raises:
        TrainerError: in one sentence, what the user can mend; nothing is published then.
        PackageError: the package cannot be read or run.
    """
    store = DirectoryStore(request.store)
    if request.name is not None:
        check_name(request.name)
    parent = find_package(request.package, store)
    fp32, manifest = reference_graph(parent), parent.manifest
    check_supported(request.config, read_architecture(fp32), f"{manifest.reference}, family {manifest.family},")
    real = None if request.data is None else open_real_side(request.data, manifest, request.cache)
    precision = request.config.precision
    with store.stage() as folder:
        file = graph_file(precision)
        held = manifest.precisions.get(precision)
        copy_files(parent, folder, {file} if held is None else {file, held.file})
        say(f"{manifest.reference}: {request.config.method}")
        for note in _make(request.config, parent, fp32, folder / file):
            say(f"note: {note}")
        entry = _measure(request, parent, folder, real)
        check_bars(precision, entry, force=request.force)
        record_outputs(parent, folder, {precision: GraphSession(folder / file)}, set(manifest.precisions) - {precision})

        def change(manifest: Manifest) -> Manifest:
            return with_graphs(manifest, folder, manifest.precisions | {precision: entry}, manifest.files)

        package = publish_version(parent, folder, store, request.name or manifest.name, change)
    for line in describe_entry(package.manifest, precision, manifest.precisions["fp32"].size):
        say(line)
    say(f"published {package.manifest.reference} in {store.root}: {', '.join(package.manifest.precisions)}")
    return package


def _make(config: QuantizationMethod, parent: Package, source: Path, target: Path) -> tuple[str, ...]:
    """Write the graph, and see in another process that it runs."""
    manifest = parent.manifest
    probe = draw_probe(CALIBRATION_SEED, config.calibration_images, manifest.latent.dim, len(manifest.classes))
    notes = quantize(source, target, probe.inputs(), config)
    check_in_subprocess([target])
    return notes


def _measure(request: QuantizeRequest, parent: Package, folder: Path, real: RealSide | None) -> PrecisionFile:
    """What the manifest says of the new graph."""
    precision: Precision = request.config.precision
    manifest, path = parent.manifest, folder / graph_file(precision)
    reference, session = GraphSession(reference_graph(parent)), GraphSession(path)
    dim, classes = manifest.latent.dim, len(manifest.classes)
    parity = measure_fidelity(session, reference, draw_probe(PARITY_SEED, request.samples, dim, classes), real, "fp32")
    return PrecisionFile(
        **stored_graph(folder, precision),
        reproducible=request.config.reproducible and is_reproducible(session, recorded_probe(parent)),
        parity=parity,
        method=request.config.model_dump(mode="json"),
        speed=round(speed_ratio(reference, session, draw_probe(PARITY_SEED, BATCH, dim, classes)), 2),
        requirements=request.bars.judge(parity),
    )
