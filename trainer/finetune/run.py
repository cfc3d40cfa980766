"""A fine-tuning from end to end: order, images, loop, package or refusal."""

import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from runtime.atomic import write_atomic
from runtime.errors import PackageError
from runtime.fine_tuning import (
    COPYING,
    ExitCode,
    FineTuneConfigError,
    FineTuneResult,
    read_order,
    read_result,
)
from runtime.manifest import Manifest, Requirement, read_manifest
from runtime.package import Package
from runtime.store import DirectoryStore
from trainer.checkpoints import read_checkpoint, write_checkpoint
from trainer.device import describe, make_fabric
from trainer.errors import CheckpointDamaged, CollapseError, ExportError, RunHeld, TrainerError
from trainer.evaluation import Evaluator
from trainer.evaluation.catalogue import HELD_OUT_DISTANCE
from trainer.evaluation.feature_choice import open_eyes
from trainer.evaluation.gates import misses
from trainer.finetune.job import JobFolder
from trainer.finetune.preparation import Preparation, prepare
from trainer.finetune.system import FineTunedSystem
from trainer.finetune.telling import Narrator, ToldEvents
from trainer.finetune.watch import HeldOutWatch
from trainer.loop import Loop
from trainer.packaging import Trained, publish
from trainer.report.before import PREFIX, Before, measure_before
from trainer.report.evidence import REPORT_FILE
from trainer.reports import evaluation_table
from trainer.signals import StopRequest, stop_on_signals

Say = Callable[[str], None]
Exit = int
"""An `ExitCode`, or 128 + signal."""

_OVER = ("finished", "refused")
_NO_MEMORY = ("out of memory", "can't allocate memory")  # torch raises RuntimeErrors


@dataclass(frozen=True)
class _Ended:
    """A training that has come to its end; its system holds the state that was taken."""

    trained: Trained
    stopped_by: str


class _Refused(Exception):
    """A quality gate is missed."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__()
        self.manifest = manifest


def run_job(path: Path, say: Say) -> Exit:
    """Do, or go on with, what the order in folder `path` asks for; whatever ends it is its last event."""
    try:
        job = JobFolder(path, read_order(path))
    except FineTuneConfigError as error:
        say(str(error))
        return ExitCode.USAGE
    try:
        with job.locked(), _exit_on_signals():
            job.check_attempt()  # it may have changed before we held the folder
            job.open_events()
            return _told(job, say)
    except RunHeld as error:
        say(str(error))
        return ExitCode.NOT_OURS


def _told(job: JobFolder, say: Say) -> Exit:
    """The job, with an event for whatever ends it."""
    try:
        return _run(job, say)
    except RunHeld:
        raise  # not ours to say anything any more
    except CheckpointDamaged as error:  # the next attempt sets it aside
        code, reason = ExitCode.MACHINE, str(error)
    except (TrainerError, PackageError) as error:
        code, reason = ExitCode.UNUSABLE, str(error)
    except (OSError, MemoryError) as error:
        code, reason = ExitCode.MACHINE, _of_machine(error)
    except Exception as error:  # noqa: BLE001 - the outer boundary of a job
        traceback.print_exc()
        code = ExitCode.MACHINE if any(word in str(error) for word in _NO_MEMORY) else ExitCode.DEFECT
        reason = f"{type(error).__name__}: {error}"
    except SystemExit as stopped:
        with suppress(OSError):
            job.tell("stopped", exit_code=stopped.code, message="stopped; the same order goes on")
        raise
    say(f"Error: {reason}")
    with suppress(OSError):  # a full disk takes no event either
        job.tell("failed", exit_code=int(code), message=job.without_places(reason))
    return code


def _run(job: JobFolder, say: Say) -> Exit:
    result = read_result(job.path)
    if result is not None:
        say(f"{job.path} is finished: {result.package or 'refused'}. A new --run fine-tunes anew.")
        code = ExitCode.REFUSED if result.package is None else ExitCode.PUBLISHED
        if job.last_told not in _OVER:  # killed before it could say so
            _tell_end(job, result, code, [])
        return code
    store = DirectoryStore(Path(job.order.store))
    published = _published_before(job, store)
    if published is not None:  # killed between publishing and saying so
        return _conclude(job, published, _stopped_by(job), say)
    if (damage := job.set_damage_aside()) is not None:
        say(damage)
        job.tell("notice", message=damage)
    preparation = prepare(job.order, job.images)
    job.adopt(preparation.recipe)
    say(preparation.describe())
    ended = _train(job, preparation, say)
    if not isinstance(ended, _Ended):
        return ended
    job.tell("stage", stage="publishing")
    try:
        package = _publish(job, store, ended.trained, say)
    except _Refused as refused:
        return _conclude(job, refused.manifest, ended.stopped_by, say, refused=True)
    say(f"report: {package.path / REPORT_FILE}")
    return _conclude(job, package.manifest, ended.stopped_by, say)


def _train(job: JobFolder, preparation: Preparation, say: Say) -> _Ended | Exit:
    """Train to the end, and take the best state; or the exit code of a signal or a refusal."""
    recipe, ancestor, images = preparation.recipe, preparation.ancestor, preparation.images
    spec = preparation.trained_on.train.spec
    fabric = make_fabric(recipe.device, spec)
    fabric.seed_everything(recipe.seed, verbose=False)
    system = FineTunedSystem(recipe, spec, fabric, ancestor, preparation.classes.sources)
    job.tell("stage", stage="measuring before")
    eyes = open_eyes(recipe.evaluation.features, images, job.images, recipe.evaluation.real_images)
    evaluator = Evaluator(recipe.evaluation, images, eyes)
    before = _before(job, preparation, evaluator)
    watch = HeldOutWatch(recipe, preparation.trained_on.train, evaluator, preparation.classes.places)
    loop = Loop(recipe, preparation.trained_on, system, job, fabric, watch=watch, events=ToldEvents(job))
    resumed = loop.position["images"]
    job.tell("started", images=resumed, frozen_layers=system.frozen_layers, **_facts(preparation))
    say(f"{describe(recipe.device, fabric)}; {system.frozen_layers} layers of the discriminator are frozen")
    if resumed:
        say(f"resuming {job.path} at {resumed:,} images")
    with stop_on_signals() as stop:
        stopped_by = _loop(job, loop, watch, stop, say)
    if stopped_by is None:
        said = f"stopped at {loop.position['images']:,} images, all saved"
        job.tell("stopped", exit_code=stop.exit_code, images=loop.position["images"], message=said)
        say(f"{said} in {job.path}; the same command goes on")
        return stop.exit_code
    seconds, shown = loop.position["seconds"], loop.position["images"]
    say(f"trained on {shown:,} images in {seconds:.1f} s, ended by {stopped_by}")
    if not job.best.exists():
        return _conclude_copies(job, stopped_by, shown, say)
    checkpoint, position = loop.settle()
    say(f"the best state is that of {position['images']:,} images")
    kept = read_checkpoint(checkpoint)
    kept["system"], kept["position"] = system.merged_state_dict(), position.copy()
    kept["position"]["steps"] += ancestor.steps  # for whoever begins with this package
    write_checkpoint(job.packaged, kept)
    trained = Trained(
        recipe_name=ancestor.manifest.provenance.recipe,
        recipe=recipe,
        data=images,
        generator=system.averaged_generator(recipe.ema.statistics_images).cpu(),
        position=position,
        checkpoint=job.packaged,
        history=job.read_metrics(),
        parent=ancestor.manifest,
        before=before,
        classes=preparation.classes.names,
        places=preparation.classes.places,
    )
    return _Ended(trained, stopped_by)


def _loop(job: JobFolder, loop: Loop, watch: HeldOutWatch, stop: StopRequest, say: Say) -> str | None:
    """What ended training; None for a signal."""
    narrator = Narrator(job, watch)
    try:
        loop.run(stop, lambda position: narrator.after_step(position, loop.progress))
    except CollapseError as error:
        if not job.best.exists():
            raise
        say(f"{error}\nThe best state before it is taken.")
        job.tell("notice", message=str(error))
        return "collapse"
    # A signal in the last step counts: exporting takes longer than a stop is waited for.
    return None if stop.requested else watch.stopped_by


def _publish(job: JobFolder, store: DirectoryStore, trained: Trained, say: Say) -> Package:
    """Publish; where int8 cannot be had, without it.

    Raises:
        _Refused: a gate is missed, and that is reason enough.
    """

    def accept(package: Package) -> None:
        job.check_attempt()
        if package.manifest.missed() and job.order.config.on_miss == "refuse":
            say(f"report: {job.keep_evidence(package)}")
            raise _Refused(package.manifest)

    try:
        return publish(trained, store, job.order.name, job.images, say, accept=accept)
    except ExportError as error:
        recipe = trained.recipe
        if "int8" not in recipe.export.precisions:
            raise
        say(f"{error}; publishing without int8")
        job.tell("notice", message=f"without int8: {error}")
        without = recipe.model_copy(update={"export": recipe.export.model_copy(update={"precisions": ("fp32",)})})
        return publish(replace(trained, recipe=without), store, job.order.name, job.images, say, accept=accept)


def _before(job: JobFolder, preparation: Preparation, evaluator: Evaluator) -> Before:
    """What the package scores on the images, measured once per job."""
    with suppress(OSError, ValueError):
        return Before.from_json(job.before.read_bytes())
    ancestor, classes = preparation.ancestor, preparation.classes
    before = measure_before(
        ancestor.reference,
        preparation.recipe.evaluation,
        preparation.images,
        evaluator,
        ancestor.sampler(classes.drawn_as()),
        dim=ancestor.manifest.latent.dim,
        conditional=bool(classes.names),
    )
    job.tell("before", package=before.package, measures={name: each.value for name, each in before.measures.items()})
    write_atomic(job.before, before.to_json())
    return before


def _published_before(job: JobFolder, store: DirectoryStore) -> Manifest | None:
    """What an earlier attempt at this very job has published."""
    for version in reversed(store.versions().get(job.order.name, [])):
        with suppress(PackageError):
            manifest = read_manifest(store.root / job.order.name / str(version))
            if manifest.provenance.config.get("job") == job.order.job:
                return manifest
    return None


def _stopped_by(job: JobFolder) -> str:
    """What ended a training whose process is gone, as far as its measurements tell."""
    state = None
    with suppress(CheckpointDamaged):
        state = read_checkpoint(job.checkpoint)["quality"]
    if state is None or not state["reached"]:
        return "budget"
    return "copying" if state.get("copying", 0) > 1 else "patience"


def _conclude(job: JobFolder, manifest: Manifest, stopped_by: str, say: Say, *, refused: bool = False) -> Exit:
    measures = {name: found.value for name, found in manifest.evaluation.items()}
    result = _result(job, stopped_by, manifest.provenance.trained_images, manifest.requirements, measures)
    if not refused:
        result = result.model_copy(update={"package": manifest.reference})
    job.conclude(result)
    say(evaluation_table({name: found for name, found in manifest.evaluation.items() if "." not in name}))
    held_out, base = (measures.get(name) for name in (HELD_OUT_DISTANCE, PREFIX + HELD_OUT_DISTANCE))
    if held_out is not None and base is not None:
        say(f"kernel distance to held-out images: {base:.4g} before, {held_out:.4g} after")
    missed = misses(manifest.requirements)
    for line in missed:
        say(line)
    code = ExitCode.REFUSED if refused else ExitCode.PUBLISHED
    _tell_end(job, result, code, missed)
    if refused:
        say(f"refused, nothing is published; the evidence is in {job.refused}")
    else:
        say(f"published {manifest.reference} in {job.order.store}: {', '.join(manifest.precisions)}")
    return code


def _conclude_copies(job: JobFolder, stopped_by: str, images: int, say: Say) -> Exit:
    """No state was free of copies: there is nothing to package."""
    requirement = Requirement(expression=f"{COPYING}<=0", value=None, met=False)
    result = _result(job, stopped_by, images, [requirement], {})
    job.conclude(result)
    said = "every state that was measured copies training images; more images, or adapter=norm, may help"
    _tell_end(job, result, ExitCode.REFUSED, [said])
    say(f"refused: {said}")
    return ExitCode.REFUSED


def _tell_end(job: JobFolder, result: FineTuneResult, code: ExitCode, missed: list[str]) -> None:
    refused = code == ExitCode.REFUSED
    said = f"refused: {'; '.join(missed) or 'see its result'}" if refused else f"published {result.package}"
    facts = result.model_dump(mode="json", exclude={"store"})
    job.tell("refused" if refused else "finished", exit_code=int(code), message=said, **facts)


def _result(
    job: JobFolder, stopped_by: str, images: int, requirements: list[Requirement], measures: dict[str, float]
) -> FineTuneResult:
    return FineTuneResult(
        job=job.order.job,
        package=None,
        store=job.order.store,
        requirements=requirements,
        measures=measures,
        images=images,
        stopped_by=stopped_by,  # type: ignore[arg-type]
    )


def _facts(preparation: Preparation) -> dict[str, Any]:
    images, recipe, classes = preparation.images, preparation.recipe, preparation.classes
    return {
        "package": preparation.ancestor.reference,
        "training_images": len(images.train),
        "held_out_images": len(images.held_out),
        "rehearsed_images": len(preparation.trained_on.train) - len(images.train),
        "size": list(images.train.images.shape[1:]),
        "classes": list(classes.names),
        "new_classes": list(classes.new),
        "batch_size": recipe.training.batch_size,
        "budget_images": recipe.budget.images,
        "budget_minutes": recipe.budget.max_minutes,
    }


def _of_machine(error: OSError | MemoryError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error) or "memory has run out"


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Have SIGTERM and SIGINT unwind the stack, so that nothing half-made is left in the store. The loop has a way of
    its own."""

    def leave(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
