"""From a trained generator to a published model package."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from runtime import __version__
from runtime.encoder import Encoder as ServedEncoder
from runtime.generator import Generator as ServedGenerator
from runtime.images import encode_npz
from runtime.manifest import (
    DataSource,
    EncoderFile,
    Latent,
    Manifest,
    Measurement,
    Output,
    Parity,
    Precision,
    PrecisionFile,
    Provenance,
    SelfTest,
)
from runtime.package import Package, describe_file
from runtime.store import DirectoryStore
from trainer.checkpoints import Position
from trainer.compress.base import QuantizationMethod
from trainer.compress.fp16 import Fp16Config
from trainer.compress.quantization import quantize
from trainer.compress.speed import BATCH, speed_ratio
from trainer.data import DataSplit
from trainer.errors import ExportError
from trainer.evaluation import Evaluator, Sampler, draw_like, draw_samples
from trainer.evaluation.feature_choice import open_eyes
from trainer.evaluation.gates import judge_gates
from trainer.evaluation.reconstruction import reconstruction_error
from trainer.export import (
    ENCODER_FILE,
    EncoderGraph,
    EncoderSession,
    ExportGraph,
    GraphSession,
    check_in_subprocess,
    export_encoder,
    export_fp32,
    graph_file,
)
from trainer.grids import sample_grid
from trainer.networks.base import Encoder, Generator
from trainer.parity import TOLERANCE, compare, is_reproducible
from trainer.probes import CALIBRATION_SEED, PARITY_SEED, SELF_TEST_IMAGES, SELF_TEST_SEED, Probe, draw_probe
from trainer.recipe import Recipe
from trainer.report.before import PREFIX as BEFORE_PREFIX
from trainer.report.before import Before
from trainer.report.evidence import Evidence, History
from trainer.report.pictures import draw_pictures
from trainer.reports import evenly_spaced, metrics_json

_ENCODER_DIFFERENCE = 0.01  # latents have unit variance


@dataclass(frozen=True)
class Trained:
    """What training hands over.

    Attributes:
        recipe_name: as on the command line.
        generator: averaged weights, eval mode, on the CPU.
        checkpoint: the run's checkpoint file.
        history: lines of the run's `metrics.jsonl`.
        encoder: eval mode, on the CPU; None for systems that make images only.
        parent: the package whose weights training began with; None: it began with random ones.
        before: what that package scores on the same images; None: nobody asked.
        classes: of the generator, where they are not those of the images; None: they are.
        places: number among `classes` of each class of the images.
    """

    recipe_name: str
    recipe: Recipe
    data: DataSplit
    generator: Generator
    position: Position
    checkpoint: Path
    encoder: Encoder | None = None
    history: History = field(default_factory=list)
    parent: Manifest | None = None
    before: Before | None = None
    classes: tuple[str, ...] | None = None
    places: tuple[int, ...] = ()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Classes that the generator can be asked for."""
        names = self.data.train.class_names if self.classes is None else self.classes
        return names if self.generator.conditional else ()

    @property
    def measured_names(self) -> tuple[str, ...]:
        """Those of them that there are images of, in the images' order."""
        return self.data.train.class_names if self.generator.conditional else ()

    def sampler(self, session: GraphSession) -> Sampler:
        """`session` for labels of the images."""
        if self.classes is None or not self.generator.conditional:
            return session
        places = np.array(self.places, np.int64)
        return lambda latents, labels: session(latents, places[labels])


@dataclass
class _Staged:
    """What is known of the package while its folder fills."""

    folder: Path
    parity: dict[Precision, Parity] = field(default_factory=dict)
    methods: dict[Precision, QuantizationMethod] = field(default_factory=dict)
    speed: dict[Precision, float] = field(default_factory=dict)
    reproducible: dict[Precision, bool] = field(default_factory=dict)
    evaluation: dict[str, Measurement] = field(default_factory=dict)
    evidence: Evidence | None = None


def publish(
    trained: Trained,
    store: DirectoryStore,
    name: str,
    cache: Path,
    say: Callable[[str], None],
    *,
    accept: Callable[[Package], None] = lambda _: None,
) -> Package:
    """Export, quantize, compare, measure and publish `trained` as the next version of `name`.

    Args:
        cache: folder where a judge is kept, if the recipe's evaluation asks for one.
        accept: is shown the package before it is published, with 1 for its version; what it raises ends the matter.

    Raises:
        ExportError: a graph does not run, or does not agree with its reference. Nothing is published then.
    """
    with store.stage() as folder:
        staged = _Staged(folder)
        say("exporting to ONNX")
        sessions = _export(trained, staged, say)
        encode = _export_encoder(trained, staged)
        say("measuring samples")
        _measure(trained, staged, sessions, cache)
        if encode is not None:
            staged.evaluation["reconstruction_error"] = reconstruction_error(
                trained.recipe.evaluation, trained.data, encode, sessions["fp32"]
            )
        _write_evidence(trained, staged, sessions, encode)
        created = datetime.now(UTC)

        def describe(version: int) -> Manifest:
            return _manifest(trained, staged, name, version, created)

        finished = Package(folder, describe(1))
        _check_as_served(finished)
        accept(finished)
        return store.publish(name, folder, describe)


def _export(trained: Trained, staged: _Staged, say: Callable[[str], None]) -> dict[Precision, GraphSession]:
    """Write and check every graph, and compare it with its reference; what is too far from it is left out."""
    config = trained.recipe.export
    graph = ExportGraph(trained.generator, conditional=bool(trained.class_names))
    fp32 = staged.folder / graph_file("fp32")
    export_fp32(graph, fp32)
    methods: dict[Precision, QuantizationMethod] = {"fp16": Fp16Config(), "int8": config.int8}
    staged.methods = {name: method for name, method in methods.items() if name in config.precisions}
    for precision, method in staged.methods.items():
        inputs = _probe(trained, CALIBRATION_SEED, method.calibration_images).inputs()
        quantize(fp32, staged.folder / graph_file(precision), inputs, method)
    precisions: list[Precision] = sorted(config.precisions)
    check_in_subprocess([staged.folder / graph_file(precision) for precision in precisions])
    sessions = {precision: GraphSession(staged.folder / graph_file(precision)) for precision in precisions}

    probe = _probe(trained, PARITY_SEED, config.parity_images)
    with torch.no_grad():
        reference = graph(torch.from_numpy(probe.latents), torch.from_numpy(probe.labels)).numpy()
    images = sessions["fp32"](probe.latents, probe.labels)
    staged.parity["fp32"] = compare(images, reference, "torch")
    if staged.parity["fp32"].max_abs > 1:
        raise ExportError(f"generator.onnx differs from PyTorch by up to {staged.parity['fp32'].max_abs} levels")
    for precision in staged.methods:
        found = compare(sessions[precision](probe.latents, probe.labels), images, "fp32")
        if found.psnr_db is not None and found.psnr_db < config.min_psnr_db:
            say(
                f"{precision} is left out: {found.psnr_db:.1f} dB from fp32, export.min_psnr_db asks for "
                f"{config.min_psnr_db:g}; latentd quantize has other methods"
            )
            del sessions[precision]
            (staged.folder / graph_file(precision)).unlink()
            continue
        staged.parity[precision] = found
        few = _probe(trained, PARITY_SEED, BATCH)
        staged.speed[precision] = round(speed_ratio(sessions["fp32"], sessions[precision], few), 2)
    return sessions


def _export_encoder(trained: Trained, staged: _Staged) -> EncoderSession | None:
    """Write and check the graph of the encoder, where there is one."""
    if trained.encoder is None:
        return None
    path, graph = staged.folder / ENCODER_FILE, EncoderGraph(trained.encoder)
    images = np.array(trained.data.held_out.images[: trained.recipe.export.parity_images])
    export_encoder(graph, images.shape[1:], path)
    check_in_subprocess([path])
    session = EncoderSession(path)
    with torch.no_grad():
        reference = graph(torch.from_numpy(images)).numpy()
    difference = float(np.abs(session(images) - reference).max())
    if difference > _ENCODER_DIFFERENCE:
        raise ExportError(f"{ENCODER_FILE} differs from PyTorch by up to {difference:.4f}")
    return session


def _measure(trained: Trained, staged: _Staged, sessions: dict[Precision, GraphSession], cache: Path) -> None:
    """Fill `staged.evaluation`: fp32 under the measures' plain names, others as ``<precision>.<measure>``; the
    report is on fp32."""
    config, dim = trained.recipe.evaluation, trained.generator.latent_dim
    eyes = open_eyes(config.features, trained.data, cache, config.real_images)
    evaluator, names = Evaluator(config, trained.data, eyes), trained.measured_names
    if trained.before is not None:
        staged.evaluation |= {f"{BEFORE_PREFIX}{name}": found for name, found in trained.before.measures.items()}
    for precision, session in sessions.items():
        sampler = trained.sampler(session)
        found = evaluator.measure(draw_samples(config, names, dim, sampler))
        if trained.before is not None:
            like = draw_like(config, trained.data.held_out, dim, sampler, conditional=bool(names))
            found = trained.before.compare(found, evaluator.held_out_distance(like))
        prefix = "" if precision == "fp32" else f"{precision}."
        staged.evaluation |= {prefix + name: measured for name, measured in found.measures.items()}
        if precision == "fp32":
            pictures = draw_pictures(sampler, dim, names, found, evaluator.data.train)
            history = evenly_spaced(trained.history)
            staged.evidence = Evidence(precision, config, trained.data, eyes, found, pictures, history, trained.before)


def _write_evidence(
    trained: Trained, staged: _Staged, sessions: dict[Precision, GraphSession], encode: EncoderSession | None
) -> None:
    """The files beside the graphs: checkpoint, recorded outputs, grid, metrics."""
    (staged.folder / "checkpoint.pt").write_bytes(trained.checkpoint.read_bytes())
    probe = _probe(trained, SELF_TEST_SEED, SELF_TEST_IMAGES)
    recorded: dict[str, NDArray[Any]] = {
        f"images_{precision}": session(probe.latents, probe.labels) for precision, session in sessions.items()
    }
    staged.reproducible = {precision: is_reproducible(session, probe) for precision, session in sessions.items()}
    if encode is not None:
        recorded["encoder_latents"] = encode(recorded["images_fp32"])
    recorded["seeds"] = probe.seeds
    if trained.class_names:
        recorded["labels"] = probe.labels
    (staged.folder / "expected.npz").write_bytes(encode_npz(recorded))
    dim, classes = trained.generator.latent_dim, len(trained.class_names)
    (staged.folder / "samples.png").write_bytes(sample_grid(sessions["fp32"], dim, classes, trained.generator.frames))
    (staged.folder / "metrics.json").write_text(
        metrics_json(staged.parity, trained.position, evenly_spaced(trained.history))
    )


def _manifest(trained: Trained, staged: _Staged, name: str, version: int, created: datetime) -> Manifest:
    """The manifest, after the files that only a numbered package can have were written."""
    manifest = _described(trained, staged, name, version, created)
    assert staged.evidence is not None
    evidence = staged.evidence.files(manifest)
    for file, content in evidence.items():
        (staged.folder / file).write_bytes(content)
    more = {file: describe_file(staged.folder / file) for file in evidence}
    return manifest.model_copy(update={"files": manifest.files | more})


def _described(trained: Trained, staged: _Staged, name: str, version: int, created: datetime) -> Manifest:
    recipe, data = trained.recipe, trained.data
    spec = data.train.spec
    precisions: dict[Precision, PrecisionFile] = {}
    for precision, parity in staged.parity.items():
        stored = describe_file(staged.folder / graph_file(precision))
        method = staged.methods.get(precision)
        precisions[precision] = PrecisionFile(
            sha256=stored.sha256,
            size=stored.size,
            file=graph_file(precision),
            reproducible=staged.reproducible[precision],
            parity=parity,
            method={} if method is None else method.model_dump(mode="json"),
            speed=staged.speed.get(precision),
        )
    others = ("checkpoint.pt", "expected.npz", "samples.png", "metrics.json")
    return Manifest(
        name=name,
        version=version,
        created=created,
        family=recipe.family,
        latent=Latent(dim=trained.generator.latent_dim),
        classes=list(trained.class_names),
        output=Output(
            height=spec.height, width=spec.width, channels=3 if spec.channels == 3 else 1, frames=spec.frames
        ),
        precisions=precisions,
        encoder=_describe_encoder(staged),
        files={file: describe_file(staged.folder / file) for file in others},
        self_test=SelfTest(
            file="expected.npz", tolerance={precision: TOLERANCE[precision] for precision in precisions}
        ),
        provenance=Provenance(
            data=DataSource(source=Path(data.source).name, fingerprint=data.fingerprint(), images=len(data.train)),
            recipe=trained.recipe_name,
            config=_without_places(recipe.model_dump(mode="json")),
            seed=recipe.seed,
            trained_images=trained.position["images"],
            training_seconds=round(trained.position["seconds"], 3),
            code_version=__version__,
            parent=None if trained.parent is None else trained.parent.reference,
        ),
        evaluation=staged.evaluation,
        requirements=judge_gates(recipe.evaluation.require, staged.evaluation),
        licence=recipe.package.licence,
        intended_use=recipe.package.intended_use,
    )


def _describe_encoder(staged: _Staged) -> EncoderFile | None:
    path = staged.folder / ENCODER_FILE
    return EncoderFile(file=ENCODER_FILE, **describe_file(path).model_dump()) if path.exists() else None


def _without_places(config: dict[str, Any]) -> dict[str, Any]:
    """`config` with the images and the parent by their names alone: manifests are shown to clients."""
    images, parent = config["data"]["path"], config["start_from"]
    names = {"start_from": parent and "/".join(Path(parent).parts[-2:])}
    return config | names | {"data": config["data"] | {"path": images and Path(images).name}}


def _check_as_served(package: Package) -> None:
    """Load every precision as the server will; its self-test refuses what is not reproducible."""
    for precision in package.manifest.precisions:
        ServedGenerator(package, precision)
    if package.manifest.encoder is not None:
        ServedEncoder(package)


def _probe(trained: Trained, first_seed: int, n: int) -> Probe:
    return draw_probe(first_seed, n, trained.generator.latent_dim, len(trained.class_names))
