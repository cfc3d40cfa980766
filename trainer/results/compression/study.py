"""The study of compression: trained generators of every kind, each in every form that compression gives it."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import click

from runtime.errors import PackageError
from runtime.package import Package
from runtime.store import DirectoryStore
from trainer.compress.fidelity import BarsConfig, RealSide, look_at_real, measure_fidelity
from trainer.compress.pruning.package import PruneRequest, prune_package
from trainer.compress.quantizing import QuantizeRequest, quantize_package
from trainer.compress.speed import speed_ratio
from trainer.compress.versions import reference_graph
from trainer.errors import TrainerError
from trainer.export import GraphSession
from trainer.package_evaluation import open_images
from trainer.probes import PARITY_SEED, draw_probe
from trainer.results.compression.plan import BATCHES, FORMS, MODELS, Form, Model, Row, pruning
from trainer.results.compression.tables import render
from trainer.results.kept import key_of, read_kept, training_key, write_kept
from trainer.results.order import Order
from trainer.results.runs import TrainedRun, train_recipe
from trainer.results.yardstick import Yardstick

NAME = "compression"
_SECONDS = 3.0  # of each measurement of speed
_ANY = BarsConfig(min_psnr_db=0, max_frechet_increase=1e9, max_accuracy_loss=1)


def section(order: Order, yardstick: Yardstick) -> Iterator[str]:
    """The section of what is there, after each row that is new, and at the end.

    All generators are trained before the first is compressed: budgets are of time, and measuring would share the cores.

    Raises:
        RunError: a training was stopped by a signal.
    """
    chosen = [model for model in MODELS if not order.recipes or model.recipe in order.recipes]
    benches = [Bench(order, model, yardstick.data.fingerprint()) for model in chosen]
    for bench in benches:
        bench.train()
    rows: list[Row] = []
    for bench in benches:
        for form in FORMS:
            rows.append(bench.row(form))
            yield render(order.data_path.name, order.minutes, order.distillation_steps, order.samples, rows)


class Bench:
    """One model: its training, its forms, and what each measures."""

    def __init__(self, order: Order, model: Model, fingerprint: str) -> None:
        self._order, self._model = order, model
        self._settings = (*order.settings(order.minutes), *model.overrides)
        self._training = training_key(model.recipe, self._settings, fingerprint)
        self._run = order.folder / NAME / f"{model.slug}-{self._training[:8]}"

    def train(self) -> None:
        """Train, unless that is done or every form is measured already.

        Raises:
            RunError: the training was stopped by a signal.
        """
        if all(self._kept(form) is not None for form in FORMS):
            return
        click.echo(f"{self._model.title}, {self._order.minutes:g} min")
        train_recipe(self._model.recipe, self._run, self._settings)

    def row(self, form: Form) -> Row:
        """What `form` measures, now or by an earlier command."""
        kept = self._kept(form)
        if kept is not None:
            return kept
        click.echo(f"{self._model.title}: {form.title}")
        row = self._measure(form)
        write_kept(self._figures(form), self._key(form), row)
        return row

    def _measure(self, form: Form) -> Row:
        unmeasured, original = Row(self._model.title, form.title), self._trained.package
        if original is None:
            return replace(unmeasured, verdict=self._trained.verdict)
        try:
            package = self._compressed(original, form)
        except (TrainerError, PackageError) as error:
            return replace(unmeasured, verdict=str(error))
        precision = form.method.precision if form.method is not None else "fp32"
        entry = package.manifest.precisions[precision]
        reference, session = GraphSession(reference_graph(original)), GraphSession(package.path / entry.file)
        dim, classes = original.manifest.latent.dim, len(original.manifest.classes)
        probe = draw_probe(PARITY_SEED, self._order.samples, dim, classes)
        found = measure_fidelity(session, reference, probe, self._real, "fp32")
        assert found.real is not None, "real images were given"
        accuracy = None
        if found.real.label_accuracy is not None and found.real.reference_label_accuracy is not None:
            accuracy = (found.real.label_accuracy, found.real.reference_label_accuracy)
        return replace(
            unmeasured,
            size=entry.size / original.manifest.precisions["fp32"].size,
            speeds=tuple(
                speed_ratio(reference, session, draw_probe(PARITY_SEED, batch, dim, classes), _SECONDS)
                for batch in BATCHES
            ),
            psnr_db=found.psnr_db,
            frechet=(found.real.frechet_distance, found.real.reference_frechet_distance),
            accuracy=accuracy,
            reproducible=entry.reproducible,
            features=found.features or "",
            vnni=has_vnni(),
        )

    def _compressed(self, original: Package, form: Form) -> Package:
        """The package with `form`, made by the commands that users have, in a store beside the run.

        Raises:
            TrainerError: the form is not to be had.
        """
        source = self._pruned(original) if form.pruned else original
        if form.method is None:
            return source
        request = QuantizeRequest(
            str(source.path), self._store.root, form.method, _ANY, 100, self._order.folder, form.slug, force=True
        )
        return quantize_package(request, click.echo)

    def _pruned(self, original: Package) -> Package:
        """Pruned once for both forms, also over several commands."""
        config = pruning(self._order.distillation_steps)
        for version in reversed(self._store.versions().get("pruned", [])):
            package = self._store.open("pruned", version)
            if package.manifest.precisions["fp32"].method == config.model_dump(mode="json"):
                return package
        request = PruneRequest(
            str(original.path), self._store.root, config, _ANY, 100, self._order.folder, "pruned", force=True
        )
        return prune_package(request, click.echo)

    @cached_property
    def _trained(self) -> TrainedRun:
        return train_recipe(self._model.recipe, self._run, self._settings)

    @cached_property
    def _real(self) -> RealSide:
        assert self._trained.package is not None
        data = open_images(self._trained.package.manifest, self._order.data_path, self._order.folder)
        return look_at_real(data, self._order.folder)

    @property
    def _store(self) -> DirectoryStore:
        return DirectoryStore(self._run / "compressed")

    def _figures(self, form: Form) -> Path:
        return self._order.figures / NAME / f"{self._model.slug}-{form.slug}.json"

    def _key(self, form: Form) -> str:
        method = None if form.method is None else form.method.model_dump(mode="json")
        pruned = pruning(self._order.distillation_steps).model_dump(mode="json") if form.pruned else None
        return key_of(self._training, method, pruned, self._order.samples)

    def _kept(self, form: Form) -> Row | None:
        return read_kept(self._figures(form), self._key(form), Row)


def has_vnni() -> bool:
    """Whether this processor says that it has 8-bit dot products (Linux on x86)."""
    path = Path("/proc/cpuinfo")
    return path.exists() and "vnni" in path.read_text(encoding="utf-8")
