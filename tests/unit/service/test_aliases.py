"""What an alias stands for, and that it survives the server."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from pydantic import ValidationError

from service.aliases import Alias, AliasTable, Canary
from service.settings import SettingsError

STABLE = Alias(target="digits@1")
SPLIT = Alias(target="digits@1", canary=Canary(target="other@2", weight=0.25))


def test_an_alias_stands_for_its_target(tmp_path: Path) -> None:
    table = AliasTable(tmp_path / "aliases.json")
    assert table.choose("stable") is None
    table.put("stable", STABLE)
    assert table.choose("stable") == "digits@1"
    table.put("stable", Alias(target="digits@2"))
    assert table.choose("stable") == "digits@2"


def test_a_canary_takes_its_share() -> None:
    table = AliasTable(draw=Random(0).random)
    table.put("split", SPLIT)
    counts = Counter(table.choose("split") for _ in range(4000))
    assert set(counts) == {"digits@1", "other@2"}
    assert counts["other@2"] == pytest.approx(1000, abs=120)  # four standard deviations


@pytest.mark.parametrize(("weight", "target"), [(0.0, "digits@1"), (1.0, "other@2")])
def test_a_share_of_nothing_and_of_everything_are_exact(weight: float, target: str) -> None:
    table = AliasTable()
    table.put("split", Alias(target="digits@1", canary=Canary(target="other@2", weight=weight)))
    assert {table.choose("split") for _ in range(500)} == {target}


def test_aliases_survive_and_can_be_deleted(tmp_path: Path) -> None:
    path = tmp_path / "state" / "aliases.json"
    table = AliasTable(path)
    table.put("stable", STABLE)
    table.put("split", SPLIT)
    again = AliasTable(path)
    assert again.all() == {"split": SPLIT, "stable": STABLE}
    assert again.targets() == {("digits", 1), ("other", 2)}
    assert again.delete("split")
    assert not again.delete("split")
    assert AliasTable(path).all() == {"stable": STABLE}


def test_a_broken_file_stops_the_start_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "aliases.json"
    path.write_text('{"stable": {"target": "no version"}}')
    with pytest.raises(SettingsError, match=f"alias file {path} cannot be read"):
        AliasTable(path)


@pytest.mark.parametrize("target", ["digits", "digits@0", "digits@x", "Digits@1", "../x@1", "digits@1@2", ""])
def test_a_target_is_a_name_with_a_version(target: str) -> None:
    with pytest.raises(ValidationError):
        Alias(target=target)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_a_weight_is_a_share(weight: float) -> None:
    with pytest.raises(ValidationError):
        Canary(target="digits@1", weight=weight)
