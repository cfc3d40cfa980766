"""`latentd export`: a package from the state that a run has come to, finished or stopped."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from runtime.package import Package
from runtime.store import DirectoryStore
from trainer.config import apply_overrides, parse
from trainer.errors import RunError
from trainer.ranks import group_left_at_the_end
from trainer.recipe import Recipe
from trainer.recipes import recipe_description, recipe_names
from trainer.run_folder import RunFolder
from trainer.training import check_name, open_run, publish_state

Say = Callable[[str], None]


@dataclass(frozen=True)
class ExportRequest:
    """The command line of `latentd export`.

    Attributes:
        overrides: ``path=value`` of what may change in a run: how it is exported, evaluated and described.
        name: of the package in the store; None: the recipe's name.
    """

    run: Path
    store: Path
    overrides: tuple[str, ...] = ()
    name: str | None = None


@group_left_at_the_end()
def export_run(request: ExportRequest, say: Say) -> Package:
    """Publish the run's state as the next version of a package, without training.

    Raises:
        TrainerError: in one sentence, what the user can mend: no such run, or one that is being trained.
    """
    folder = RunFolder(request.run)
    if not (folder.config.exists() and folder.checkpoint.exists()):
        raise RunError(f"RUN {request.run}: no folder of a run that has saved; latentd train makes one")
    kept = parse(Recipe, yaml.safe_load(folder.config.read_text(encoding="utf-8")), str(folder.config))
    recipe = apply_overrides(kept, request.overrides)
    recipe_name = _name_of(recipe)
    name = request.name or recipe_name
    check_name(name)
    with folder.locked():
        folder.adopt(recipe)
        run = open_run(recipe_name, recipe, folder)
        say(f"{folder.path}: {run.loop.position['images']:,} images seen")
        return publish_state(run, DirectoryStore(request.store), name, say)


def _name_of(recipe: Recipe) -> str:
    """The recipe that ships with this description; a run's folder does not say what it was called."""
    names = (name for name in recipe_names() if recipe_description(name) == recipe.description)
    return next(names, recipe.family)
