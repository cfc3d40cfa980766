"""`latentd prune`: from a package to its next version, with a smaller generator."""

import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch

from runtime.manifest import Manifest, PrecisionFile
from runtime.package import Package
from runtime.references import find_package
from runtime.store import DirectoryStore
from trainer.checkpoints import Checkpoint
from trainer.compress.blocks import compute_blocks
from trainer.compress.enlarging import join_enlarging
from trainer.compress.fidelity import BarsConfig, RealSide, measure_fidelity
from trainer.compress.flat_arithmetic import flatten_arithmetic
from trainer.compress.folding import fold
from trainer.compress.graph import Graph
from trainer.compress.pruning.channels import fill_narrow
from trainer.compress.pruning.config import ChannelPruningConfig, WeightPruningConfig
from trainer.compress.pruning.distillation import Distillation
from trainer.compress.pruning.networks import CHECKPOINT_FILE, Networks, read_networks
from trainer.compress.pruning.perception import perception_of
from trainer.compress.pruning.weights import Zeros, honest_note
from trainer.compress.real_images import open_real_side
from trainer.compress.speed import BATCH, speed_ratio
from trainer.compress.transposed_convolutions import rewrite_transposed_convolutions
from trainer.compress.versions import (
    check_bars,
    publish_version,
    record_outputs,
    recorded_probe,
    reference_graph,
    stored_graph,
    with_config,
    with_graphs,
)
from trainer.compress.words import describe_entry
from trainer.device import DeviceConfig
from trainer.errors import ConfigError, ExportError
from trainer.export import ExportGraph, GraphSession, check_in_subprocess, export_fp32, graph_file
from trainer.grids import sample_grid
from trainer.networks import GENERATORS
from trainer.networks.base import Generator, GeneratorConfig
from trainer.parity import is_reproducible
from trainer.probes import PARITY_SEED, draw_probe
from trainer.training import check_name

Say = Callable[[str], None]

_NOT_ITS_OWN = ("report.html", "evaluation.json")  # of the parent's images
_GRID = "samples.png"


@dataclass(frozen=True)
class PruneRequest:
    """The command line of `latentd prune`; see `QuantizeRequest` for what both have.

    Attributes:
        device: where the distillation computes.
    """

    package: str
    store: Path
    config: ChannelPruningConfig | WeightPruningConfig
    bars: BarsConfig
    samples: int
    cache: Path
    name: str | None = None
    data: str | None = None
    force: bool = False
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True)
class _Pruned:
    """The generator after distillation, on the CPU, with the config that builds it."""

    config: GeneratorConfig
    generator: Generator
    seconds: float
    zeros: float


def prune_package(request: PruneRequest, say: Say) -> Package:
    """Prune, distil, compare, and publish the next version with fp32 alone; the parent stays as it is.

    Raises:
        TrainerError: in one sentence, what the user can mend; nothing is published then.
        PackageError: the package cannot be read or run.
    """
    store = DirectoryStore(request.store)
    if request.name is not None:
        check_name(request.name)
    parent = find_package(request.package, store)
    manifest, before = parent.manifest, reference_graph(parent)
    networks = read_networks(parent)
    _check_supported(request, manifest, networks)
    real = None if request.data is None else open_real_side(request.data, manifest, request.cache)
    say(_plan(request, manifest, networks))
    pruned = _prune(request, networks)
    with store.stage() as folder:
        after = folder / graph_file("fp32")
        _export(pruned.generator, manifest, after, tuned=isinstance(request.config, ChannelPruningConfig))
        if pruned.zeros:
            say(f"note: {honest_note(pruned.zeros, before, after)}")
        entry = _measure(request, parent, after, real)
        check_bars("fp32", entry, force=request.force)
        _write_files(parent, folder, pruned, networks.checkpoint)

        def change(manifest: Manifest) -> Manifest:
            kept = [file.name for file in folder.iterdir() if file.name in manifest.files]
            changed = with_graphs(manifest, folder, {"fp32": entry}, kept)
            sections = {"generator": pruned.config.model_dump(mode="json")}
            provenance = with_config(manifest.provenance, pruned.seconds, **sections)
            return changed.model_copy(update={"provenance": provenance})

        package = publish_version(parent, folder, store, request.name or manifest.name, change)
    for line in describe_entry(package.manifest, "fp32", before.stat().st_size):
        say(line)
    dropped = [precision for precision in manifest.precisions if precision != "fp32"]
    if dropped:
        say(f"{', '.join(dropped)} of {manifest.reference} belong to the whole generator and are not carried over")
    say(f"published {package.manifest.reference} in {store.root}: fp32; latentd quantize makes it smaller still")
    return package


def _check_supported(request: PruneRequest, manifest: Manifest, networks: Networks) -> None:
    """Refuse a generator whose channels nobody knows.

    Raises:
        ConfigError: which generators can be pruned, and what else there is.
    """
    if isinstance(request.config, WeightPruningConfig) or networks.recipe.generator.narrowed(0.5) is not None:
        return
    known = [kind for kind in GENERATORS.kinds() if GENERATORS.lookup(kind)(kind=kind).narrowed(0.5) is not None]
    raise ConfigError(
        f"PACKAGE: {manifest.reference}, family {manifest.family}, has a generator {networks.recipe.generator.kind!r} "
        f"that does not say which channels belong together; {', '.join(known)} do. --unstructured and latentd quantize "
        "take any"
    )


def _plan(request: PruneRequest, manifest: Manifest, networks: Networks) -> str:
    config = request.config
    what = "channels" if isinstance(config, ChannelPruningConfig) else "weights"
    beside = "pixels and the discriminator's features"
    by = beside if networks.discriminator is not None and config.distillation.features else "pixels"
    return (
        f"{manifest.reference}: removing {config.ratio:.0%} of the {what}, then {config.distillation.steps:,} steps of "
        f"distillation by {by}"
    )


def _prune(request: PruneRequest, networks: Networks) -> _Pruned:
    begun, config = time.monotonic(), request.config
    device = _device(request.device)
    torch.set_num_threads(DeviceConfig().threads_for(networks.spec))
    perception = None if networks.discriminator is None else perception_of(networks.discriminator.to(device))
    spec, recipe, zeros = networks.spec, networks.recipe, None
    if isinstance(config, ChannelPruningConfig):
        narrowed = recipe.generator.narrowed(1 - config.ratio)
        assert narrowed is not None, "checked before"
        student = narrowed.build(spec)
        fill_narrow(student, networks.generator, config.criterion)
    else:
        narrowed = recipe.generator
        student = narrowed.build(spec)
        student.load_state_dict(networks.generator.state_dict())
        zeros = Zeros(student, config.ratio)
    student = student.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    lesson = Distillation(
        config.distillation, networks.generator.to(device), perception, spec.classes, recipe.ema.statistics_images
    )
    taught = lesson.teach(student, zeros.apply if zeros is not None else lambda _: None).cpu()
    return _Pruned(narrowed, taught, time.monotonic() - begun, zeros.share if zeros is not None else 0.0)


def _device(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """
    Raises:
        ConfigError: CUDA is asked for and there is no such device.
    """
    cuda = torch.cuda.is_available()
    if wanted == "cuda" and not cuda:
        raise ConfigError("--device cuda: PyTorch finds no CUDA device; use auto or cpu")
    return torch.device("cuda" if cuda and wanted != "cpu" else "cpu")


def _export(generator: Generator, manifest: Manifest, path: Path, *, tuned: bool) -> None:
    """Write the graph, see in another process that it runs, and that it says what PyTorch says.

    Args:
        tuned: with what costs little time in a whole graph and much of a pruned one's done cheaper, see `_tune`.

    Raises:
        ExportError: it does not.
    """
    graph = ExportGraph(generator, conditional=bool(manifest.classes))
    export_fp32(graph, path)
    if tuned:
        _tune(path)
    check_in_subprocess([path])
    probe = draw_probe(PARITY_SEED, 64, manifest.latent.dim, len(manifest.classes))
    with torch.no_grad():
        expected = graph(torch.from_numpy(probe.latents), torch.from_numpy(probe.labels)).numpy()
    difference = int(np.abs(GraphSession(path)(probe.latents, probe.labels).astype(np.int16) - expected).max())
    if difference > 1:
        raise ExportError(f"{path.name} differs from PyTorch by up to {difference} levels")


def _tune(path: Path) -> None:
    """Fold normalization by constants into the weights, compute what enlarges on the small image, the last layer in
    blocks, and what follows it on flat rows."""
    model = onnx.load(path)
    fold(model)
    join_enlarging(model)
    rewrite_transposed_convolutions(model)
    graph = Graph(model)
    compute_blocks(graph)
    flatten_arithmetic(graph)
    del model.graph.value_info[:]  # shapes of what is no more
    onnx.save(model, path)


def _measure(request: PruneRequest, parent: Package, path: Path, real: RealSide | None) -> PrecisionFile:
    """What the manifest says of the new graph."""
    dim, classes = parent.manifest.latent.dim, len(parent.manifest.classes)
    reference, session = GraphSession(reference_graph(parent)), GraphSession(path)
    probe = draw_probe(PARITY_SEED, request.samples, dim, classes)
    parity = measure_fidelity(session, reference, probe, real, "parent")
    return PrecisionFile(
        **stored_graph(path.parent, "fp32"),
        reproducible=is_reproducible(session, recorded_probe(parent)),
        parity=parity,
        method=request.config.model_dump(mode="json"),
        speed=round(speed_ratio(reference, session, draw_probe(PARITY_SEED, BATCH, dim, classes)), 2),
        requirements=request.bars.judge(parity),
    )


def _write_files(parent: Package, folder: Path, pruned: _Pruned, checkpoint: Checkpoint) -> None:
    """Everything beside the graph: the parent's files that are still true, and weights, outputs and grid anew."""
    manifest = parent.manifest
    new = {*_NOT_ITS_OWN, CHECKPOINT_FILE, _GRID, manifest.self_test.file}
    for name in [*(manifest.files.keys() - new), *([manifest.encoder.file] if manifest.encoder else [])]:
        (folder / name).write_bytes(parent.read_verified(name))
    session = GraphSession(folder / graph_file("fp32"))
    record_outputs(parent, folder, {"fp32": session}, set())
    (folder / _GRID).write_bytes(
        sample_grid(session, manifest.latent.dim, len(manifest.classes), manifest.output.frames)
    )
    weights = pruned.generator.state_dict()
    system = {name: part for name, part in checkpoint["system"].items() if not name.endswith("_optimizer")}
    content = io.BytesIO()
    torch.save({**checkpoint, "system": system | {"generator": weights, "generator_ema": weights}}, content)
    (folder / CHECKPOINT_FILE).write_bytes(content.getvalue())
