"""`--show`: the resolved config, readable by people and by YAML alike."""

import re

import yaml
from click.testing import CliRunner

from tests.unit.trainer.runs import tiny_recipe
from trainer.cli import train
from trainer.recipe import Recipe
from trainer.show import annotated_yaml


def test_it_parses_as_the_config() -> None:
    recipe = tiny_recipe()
    assert Recipe.model_validate(yaml.safe_load(annotated_yaml(recipe))) == recipe


def test_fields_have_their_docstrings_above_them() -> None:
    text = annotated_yaml(tiny_recipe())
    assert text.startswith("# Kind of model, as the manifest names it.\nfamily: cgan\n")
    assert "\n  # Real images per step; as many are generated.\n  batch_size: 16\n" in text
    assert re.search(r"\n  r1:\n    # Which regularizer\.\n    kind: r1\n", text)
    assert max(map(len, text.splitlines())) <= 110


def test_overrides_are_shown() -> None:
    result = CliRunner().invoke(train, ["digits-cgan", "--show", "--set", "generator.width=24", "--seed", "7"])
    assert result.exit_code == 0, result.output
    shown = yaml.safe_load(result.output)
    assert (shown["generator"]["width"], shown["seed"]) == (24, 7)
    assert "  # Averaged" not in result.output


def test_mistakes_are_answered_in_one_sentence() -> None:
    result = CliRunner().invoke(train, ["digits-cgan", "--show", "--set", "generator.widht=24"])
    assert result.exit_code == 1
    assert "did you mean 'width'?" in result.output
