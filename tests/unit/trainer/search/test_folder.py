"""The folder of a search: one search in it, tasks and outcomes that survive a kill."""

from pathlib import Path

import pytest

from trainer.errors import RunError
from trainer.search.folder import Outcome, SearchFolder, Task
from trainer.search.search_config import SearchConfig

CONFIG = SearchConfig(recipe="digits-cgan", settings=("seed=1",), space={"a.b": [1, 2]}, data_fingerprint="f")


def test_the_same_search_goes_on_and_another_one_is_refused_by_name(tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path / "s")
    folder.adopt(CONFIG)
    folder.adopt(CONFIG)
    with pytest.raises(RunError, match="begun with objective=frechet, now objective=coverage; repeat the first"):
        folder.adopt(CONFIG.model_copy(update={"objective": "coverage"}))
    with pytest.raises(RunError, match=r"begun with space\.a\.b=\[1, 2\], now space\.a\.b=\[1, 3\]"):
        folder.adopt(CONFIG.model_copy(update={"space": {"a.b": [1, 3]}}))


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("")
    with pytest.raises(RunError, match="a file is in the way; name a folder"):
        SearchFolder(tmp_path / "s").adopt(CONFIG)


def test_tasks_and_outcomes_come_back(tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path).trial(7)
    task = Task("digits-cgan", ("a=1", "b=2"), 9, 8)
    folder.order(task)
    assert folder.task() == task
    assert folder.outcome() is None
    outcome = Outcome({"frechet": 1.5}, images=640, seconds=1.25)
    folder.finish(outcome)
    assert folder.outcome() == outcome
    assert folder.search.path == tmp_path
    assert SearchFolder(tmp_path).confirmation(7, 3).path != folder.path


def test_a_value_that_is_being_written_is_not_there_yet(tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path).trial(0)
    assert folder.read_values() == {}
    folder.path.mkdir(parents=True)
    folder.log_values(1, {"frechet": 2.0})
    with folder.values.open("a") as file:
        file.write('{"step": 2, "fre')
    assert folder.read_values() == {1: {"frechet": 2.0}}
