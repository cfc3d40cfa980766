"""The search space: what a file may say, what it is checked against, and the space a recipe is given without one."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from trainer.config import apply_overrides
from trainer.errors import ConfigError
from trainer.recipe import Recipe, load_recipe
from trainer.recipes import recipe_names
from trainer.search.derived_space import derived_space
from trainer.search.space import Space, parse_space, read_space, space_yaml, write_value

RATE = "generator_optimizer.learning_rate"


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    """The first recipe."""
    return load_recipe("digits-cgan")


def space_of(recipe: Recipe, text: str) -> Space:
    """What a file with `text` would mean."""
    return parse_space(yaml.safe_load(text), recipe, "--space s.yaml")


def test_ranges_take_the_kind_of_number_that_the_field_holds(recipe: Recipe) -> None:
    space = space_of(
        recipe,
        f"{RATE}: {{low: 1e-4, high: 1e-2, log: true}}\n"  # YAML reads 1e-4 as text
        "ema.decay: {low: 0, high: 0.9999}\n"
        "training.batch_size: {low: 32, high: 128, step: 32}\n",
    )
    assert [dimension.distribution for dimension in space.dimensions] == [
        FloatDistribution(1e-4, 1e-2, log=True),
        FloatDistribution(0.0, 0.9999),
        IntDistribution(32, 128, step=32),
    ]
    assert space.defaults == {RATE: 5e-4, "ema.decay": 0.999, "training.batch_size": 64}


def test_choices_may_be_sections_and_come_before_their_fields(recipe: Recipe) -> None:
    space = space_of(
        recipe,
        "discriminator_optimizer.beta2: [0.9, 0.99]\n"
        "objective: [{kind: non-saturating}, {kind: hinge}]\n"
        "discriminator_optimizer.kind: [adam, rmsprop]\n",
    )
    objective = space.dimensions[1]
    assert isinstance(objective.distribution, CategoricalDistribution)
    hinge = next(choice for choice, value in objective.choices.items() if value["kind"] == "hinge")
    settings = space.settings({**space.defaults, "objective": hinge})
    assert [setting.partition("=")[0] for setting in settings] == [
        "objective",
        "discriminator_optimizer.kind",
        "discriminator_optimizer.beta2",
    ]
    assert apply_overrides(recipe, settings).objective.kind == "hinge"


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_has_a_space_around_its_own_values(name: str) -> None:
    recipe = load_recipe(name)
    content = derived_space(recipe)
    space = parse_space(content, recipe, name)
    assert apply_overrides(recipe, space.settings(space.defaults)) == recipe
    assert {RATE, "discriminator_optimizer.learning_rate", "ema.decay"} <= set(content)
    text = space_yaml(content, space)
    assert parse_space(yaml.safe_load(text), recipe, name) == space


def test_a_recipe_with_r1_is_searched_for_its_strength(recipe: Recipe) -> None:
    assert derived_space(recipe)["regularizers.r1.gamma"] == {"low": 0.1, "high": 10.0, "log": True}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("generatr.width: [64, 32]", "generatr.width: no field 'generatr'; did you mean 'generator'?"),
        ("generator.widht: [64, 32]", "generator.widht: no field 'widht'; did you mean 'width'?"),
        ("regularizers.r3.gamma: [1.0, 2.0]", "no entry 'r3'; did you mean 'r1'?"),
        ("generator: {low: 1, high: 2}", "'generator' is a section; set one of its fields: generator.kind"),
        ("generator.width: {low: 64}", "generator.width: high: Field required"),
        ("generator.width: {low: 64, high: 128, stpe: 2}", "stpe: Extra inputs are not permitted"),
        ("generator.width: {low: 64, high: 32}", "low 64 is not below high 32"),
        ("generator.width: {low: -8, high: 64}", "low: generator.width: Input should be greater than or equal to 4"),
        ("generator.width: {low: 8, high: 64, step: 0.5}", "step 0.5 of a field of integers"),
        ("generator.width: {low: 8, high: 100, step: 10}", "own 64 is no number of steps of 10 from 8"),
        ("ema.decay: {low: 0.5, high: 2}", "high: ema.decay: Input should be less than 1"),
        ("ema.decay: {low: 0.0, high: 0.9995, log: true}", "low 0 has no logarithm"),
        ("ema.decay: {low: 0.5, high: 0.9995, log: true, step: 0.1}", "log and step exclude each other"),
        (f"{RATE}: {{low: 1.0e-3, high: 1.0e-2}}", "own 0.0005 is not between 0.001 and 0.01; widen the range"),
        (f"{RATE}: [0.001, 0.01]", "own 0.0005 is not among the choices; add it"),
        (f"{RATE}: [0.0005, 5e-4]", "two different choices at least"),
        (f"{RATE}: 0.001", "{low: …, high: …} or a list of choices is needed, got 0.001"),
        ("objective.kind: [non-saturating, hing]", "unknown objective 'hing'; did you mean 'hinge'?"),
        ("objective.kind: {low: 1, high: 2}", "objective.kind: low: "),
        ("data.held_out: [0.2, 0.5]", "trials are compared on the same images"),
    ],
)
def test_wrong_spaces_say_what_is_allowed(recipe: Recipe, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        space_of(recipe, text)
    assert str(refusal.value).startswith("--space s.yaml: ")
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("- a", "a mapping is needed"), ("", "a mapping is needed"), ("a: [", "not YAML"), ("1: [2]", "a mapping")],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_space(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: No such file"):
        read_space(tmp_path / "none.yaml")


@pytest.mark.parametrize("value", [1e-05, 0.1, 3, True, None, "hinge", {"kind": "gat", "weight": 1e-07}, [1, "a: b"]])
def test_values_come_back_from_yaml(value: Any) -> None:
    text = write_value(value)
    assert "\n" not in text
    assert yaml.safe_load(text) == value
