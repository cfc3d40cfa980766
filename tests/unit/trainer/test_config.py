"""Recipes, overrides, and errors that say what to write instead."""

from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from trainer.config import Config, apply_overrides, differences, to_yaml
from trainer.errors import ConfigError
from trainer.objectives.hinge import HingeConfig
from trainer.recipe import Recipe, load_recipe
from trainer.recipes import recipe_description, recipe_names
from trainer.registry import Registry


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """The first recipe."""
    return load_recipe("digits-cgan")


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_and_survives_its_own_text(name: str) -> None:
    loaded = load_recipe(name)
    assert Recipe.model_validate(yaml.safe_load(to_yaml(loaded))) == loaded
    assert recipe_description(name) == loaded.description


def test_every_field_is_documented() -> None:
    seen: list[type[Config]] = [Recipe]
    for config in seen:
        for name, field in config.model_fields.items():
            assert field.description, f"{config.__name__}.{name} has no docstring"
            if isinstance(field.annotation, type) and issubclass(field.annotation, Config):
                seen.append(field.annotation)
    assert len(seen) > 8


@pytest.mark.parametrize(
    ("override", "read"),
    [
        ("training.batch_size=32", lambda r: r.training.batch_size == 32),
        ("generator_optimizer.learning_rate=1e-3", lambda r: r.generator_optimizer.learning_rate == 1e-3),
        ("regularizers.r1.gamma=3", lambda r: r.regularizers["r1"].gamma == 3),
        ("regularizers={}", lambda r: r.regularizers == {}),
        ("augmentations.translation={ratio: 0.2}", lambda r: r.augmentations["translation"].ratio == 0.2),
        ("objective.kind=hinge", lambda r: isinstance(r.objective, HingeConfig)),
        ("data.size=null", lambda r: r.data.size is None),
        ("export.precisions=[fp32]", lambda r: r.export.precisions == ("fp32",)),
        ("generator={kind: upsampling, width: 16}", lambda r: r.generator.width == 16),
    ],
)
def test_overrides(recipe: Recipe, override: str, read: Any) -> None:
    assert read(apply_overrides(recipe, [override]))


def test_later_overrides_win(recipe: Recipe) -> None:
    changed = apply_overrides(recipe, ["seed=1", "seed=2"])
    assert (changed.seed, recipe.seed) == (2, 0)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("generatr.width=8", "no field 'generatr'; did you mean 'generator'?"),
        ("generator.widht=8", "no field 'widht'; did you mean 'width'?"),
        ("regularizers.r3.gamma=1", "no entry 'r3'; did you mean 'r1'?"),
        ("regularizers.l3={}", "unknown regularizer 'l3'; did you mean 'l2'?"),
        ("objective.kind=hing", "unknown objective 'hing'; did you mean 'hinge'?"),
        ("objective.kind=xyzw", "unknown objective 'xyzw'. Allowed: f-divergence, gat, hinge"),
        ("seed", "write path=value"),
        ("seed.x=1", "'x' is below a plain value"),
        ("training=5", "'training' is a section; set one of its fields: training.batch_size"),
        ("training.batch_size=1", "training.batch_size: Input should be greater than or equal to 2, got 1"),
        ("training.batch_size=many", "training.batch_size: .*, got 'many'"),
        ("generator.width=[", "the value is not YAML"),
        ("generator.width=-1", "generator.width: .*greater than or equal to 4, got -1"),
        ("budget={images: null, max_minutes: null}", "images and max_minutes are both null"),
        ("export.precisions=[int8]", "fp32 is missing"),
        ("export.precisions=[fp32, int4]", "'fp32', 'fp16' or 'int8', got 'int4'"),
    ],
)
def test_wrong_overrides_say_what_is_allowed(recipe: Recipe, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?").replace("[", r"\[")) as refusal:
        apply_overrides(recipe, [override])
    assert str(refusal.value).startswith(f"--set {override}: ")


def test_unknown_recipes_suggest_the_nearest() -> None:
    with pytest.raises(ConfigError, match="no recipe 'digit-cgan'; did you mean 'digits-cgan'"):
        load_recipe("digit-cgan")


def test_differences_name_paths() -> None:
    old = {"a": {"b": 1, "c": 2}, "d": 3}
    assert differences(old, {"a": {"b": 1, "c": 4}, "e": 5}) == {
        "a.c": (2, 4),
        "d": (3, None),
        "e": (None, 5),
    }


class _First(Config):
    kind: Literal["same"] = "same"


class _Second(Config):
    kind: Literal["same"] = "same"


def test_registries_refuse_duplicates() -> None:
    registry: Registry[Config] = Registry("thing")
    registry.register(_First)
    with pytest.raises(ValueError, match="thing 'same' is registered twice"):
        registry.register(_Second)


def test_recipes_ship_with_the_distribution() -> None:
    text = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    assert '"recipes/*.yaml"' in text
