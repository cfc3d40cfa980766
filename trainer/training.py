"""`latentd train` from end to end: recipe, images, loop, package."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from lightning_fabric import Fabric
from pydantic import TypeAdapter, ValidationError

from runtime.errors import PackageError
from runtime.manifest import Manifest, ModelName
from runtime.package import Package
from runtime.store import DirectoryStore
from trainer.config import apply_overrides
from trainer.data import DataSplit, open_data
from trainer.device import describe, make_fabric
from trainer.dry_run import dry_run
from trainer.errors import ConfigError, RunError
from trainer.evaluation.gates import MISSED_REQUIREMENTS, misses
from trainer.loop import Loop
from trainer.packaging import Trained, publish
from trainer.parent import begin_from
from trainer.ranks import group_left_at_the_end, leads
from trainer.recipe import Recipe, load_recipe
from trainer.report.evidence import REPORT_FILE
from trainer.reports import evaluation_table
from trainer.run_folder import RunFolder
from trainer.signals import stop_on_signals
from trainer.systems.base import EncodingSystem, System

Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainRequest:
    """The command line of `latentd train`.

    Attributes:
        overrides: ``path=value`` each, in order.
        name: of the package in the store; None: the recipe's name.
        command: the line that resumes this run, for messages.
    """

    recipe: str
    run: Path
    store: Path
    overrides: tuple[str, ...]
    name: str | None
    command: str

    @property
    def package_name(self) -> str:
        """Name of the package in the store."""
        return self.name or self.recipe


@dataclass(frozen=True)
class TrainOutcome:
    """How a command ended: a package (`MISSED_REQUIREMENTS` where it misses some), or the exit code of the signal that
    stopped it."""

    package: Package | None
    exit_code: int


def resolve(recipe: str, overrides: tuple[str, ...]) -> Recipe:
    """The recipe of that name with ``path=value`` overrides applied in order.

    Raises:
        ConfigError: see `apply_overrides`.
    """
    return apply_overrides(load_recipe(recipe), overrides)


@group_left_at_the_end()
def rehearse(name: str, overrides: tuple[str, ...]) -> str:
    """What a run would be, in words; nothing is written.

    Raises:
        TrainerError: as `train` would.
    """
    recipe = resolve(name, overrides)
    with TemporaryDirectory() as cache:
        data = open_data(recipe.data, Path(cache))
        fabric = make_fabric(recipe.device, data.train.spec)
        fabric.seed_everything(recipe.seed, verbose=False)
        system = recipe.system.build(recipe, data.train.spec, fabric)
        return f"{_describe_data(name, recipe, data, fabric)}\n{dry_run(recipe, data, system, fabric)}"


def train(request: TrainRequest, say: Say) -> TrainOutcome:
    """Train, or go on training, and publish; a finished run is not trained again.

    Raises:
        TrainerError: anything the user can mend, in one sentence.
    """
    recipe = resolve(request.recipe, request.overrides)
    check_name(request.package_name)
    run, store = RunFolder(request.run), DirectoryStore(request.store)
    if not leads():
        finished = _published(run, store, request.package_name)
        return _published_as(finished) if finished else _train(request, recipe, run, store, _silence)
    with run.locked():
        run.adopt(recipe)
        finished = _published(run, store, request.package_name)
        if finished is not None:
            say(f"{run.path} is finished: {finished.manifest.reference} is in {store.root}. A new --run trains anew.")
            return _published_as(finished)
        return _train(request, recipe, run, store, say)


@dataclass(frozen=True)
class OpenRun:
    """A run's images and networks, in the state that its folder holds.

    Attributes:
        parent: the package whose weights it began with; None: random ones.
    """

    recipe_name: str
    recipe: Recipe
    folder: RunFolder
    data: DataSplit
    fabric: Fabric
    system: System
    loop: Loop
    parent: Manifest | None


def open_run(recipe_name: str, recipe: Recipe, folder: RunFolder) -> OpenRun:
    """Build what the run trains, and load its latest state, if there is one.

    Raises:
        TrainerError: anything the user can mend, in one sentence.
    """
    data = open_data(recipe.data, folder.images)
    fabric = make_fabric(recipe.device, data.train.spec)
    fabric.seed_everything(recipe.seed, verbose=False)
    system = recipe.system.build(recipe, data.train.spec, fabric)
    parent = None if recipe.start_from is None else begin_from(system, Path(recipe.start_from))
    loop = Loop(recipe, data, system, folder, fabric)
    return OpenRun(recipe_name, recipe, folder, data, fabric, system, loop, parent)


def publish_state(run: OpenRun, store: DirectoryStore, name: str, say: Say) -> Package:
    """Publish the last state of `run`, or the best one where that is kept, and say what came of it.

    Raises:
        ExportError: a graph does not run, or does not agree with its reference.
    """
    checkpoint, position = run.loop.settle()
    if position["images"] != run.loop.position["images"]:
        say(f"the best state is that of {position['images']:,} images")
    generator = run.system.averaged_generator(run.recipe.ema.statistics_images).cpu()
    encoder = run.system.averaged_encoder().cpu() if isinstance(run.system, EncodingSystem) else None
    trained = Trained(
        run.recipe_name,
        run.recipe,
        run.data,
        generator,
        position,
        checkpoint,
        encoder,
        run.folder.read_metrics(),
        run.parent,
    )
    package = publish(trained, store, name, run.folder.images, say)
    say(evaluation_table({name: found for name, found in package.manifest.evaluation.items() if "." not in name}))
    say(f"published {package.manifest.reference} in {store.root}: {', '.join(package.manifest.precisions)}")
    say(f"report: {package.path / REPORT_FILE}")
    for line in misses(package.manifest.requirements):
        say(line)
    return package


@group_left_at_the_end()
def _train(request: TrainRequest, recipe: Recipe, folder: RunFolder, store: DirectoryStore, say: Say) -> TrainOutcome:
    run = open_run(request.recipe, recipe, folder)
    loop = run.loop
    say(_describe_data(request.recipe, recipe, run.data, run.fabric))
    if run.parent is not None:
        say(f"weights of {run.parent.reference}")
    if loop.position["images"]:
        say(f"resuming {folder.path} at {loop.position['images']:,} images")
    with stop_on_signals() as stop:
        finished = loop.run(stop)
    if not leads():
        return TrainOutcome(None, 0 if finished else stop.exit_code)
    if not finished:
        say(
            f"stopped at {loop.position['images']:,} images, all saved in {folder.path}. To go on:\n  {request.command}"
        )
        return TrainOutcome(None, stop.exit_code)
    seconds = max(loop.position["seconds"], 1e-9)
    say(
        f"trained on {loop.position['images']:,} images in {seconds:.1f} s "
        f"({loop.position['images'] / seconds:,.0f} images/s)"
    )
    if loop.target_reached:
        say("budget.target is reached")
    package = publish_state(run, store, request.package_name, say)
    folder.write_result({"package": package.manifest.reference, "store": str(store.root)})
    return _published_as(package)


def _published_as(package: Package) -> TrainOutcome:
    return TrainOutcome(package, MISSED_REQUIREMENTS if package.manifest.missed() else 0)


def _silence(_text: str) -> None:
    """What processes other than the leading one have to say."""


def _describe_data(name: str, recipe: Recipe, data: DataSplit, fabric: Fabric) -> str:
    spec = data.train.spec
    return (
        f"{name}: {len(data.train):,} images {spec.height}×{spec.width}×{spec.channels} of {data.source}, "
        f"{len(data.train.class_names) or 'no'} classes, {len(data.held_out):,} held out; "
        f"{describe(recipe.device, fabric)}"
    )


def check_name(name: str) -> None:
    """Refuse before training what the manifest would refuse after it.

    Raises:
        ConfigError: not the name of a package.
    """
    try:
        TypeAdapter(ModelName).validate_python(name)
    except ValidationError as error:
        raise ConfigError(
            f"--name {name!r}: 1 to 64 lower-case letters, digits, '.', '_' and '-' are allowed, "
            "starting with a letter or digit"
        ) from error


def _published(run: RunFolder, store: DirectoryStore, name: str) -> Package | None:
    """The package this run has published under `name` in `store`, if it is still there."""
    result = run.read_result()
    if result is None:
        return None
    reference = result.get("package")
    if not isinstance(reference, str) or "@" not in reference:
        raise RunError(f"{run.result}: no package named in it; remove the file to publish again")
    published, _, version = reference.partition("@")
    if published != name:
        return None
    try:
        return store.open(published, int(version))
    except PackageError:
        return None
