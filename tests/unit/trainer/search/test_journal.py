"""Optuna's journal under kills and several writers."""

import json
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage

from trainer.search.journal import LockedJournal


def test_logs_come_back_in_order_from_any_number(tmp_path: Path) -> None:
    journal = LockedJournal(tmp_path / "j")
    journal.append_logs([{"n": 0}, {"n": 1}])
    assert [log["n"] for log in journal.read_logs(1)] == [1]
    journal.append_logs([{"n": 2}])
    assert [log["n"] for log in journal.read_logs(2)] == [2]
    assert [log["n"] for log in LockedJournal(tmp_path / "j").read_logs(0)] == [0, 1, 2]
    assert not list(journal.read_logs(3))


@pytest.mark.parametrize("torn", [b'{"n": 7, "te', b'{"n": 7}', b"{"])
def test_a_torn_line_is_not_read_and_not_continued(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "j"
    journal = LockedJournal(path)
    journal.append_logs([{"n": 0}])
    with path.open("ab") as file:
        file.write(torn)
    assert [log["n"] for log in journal.read_logs(0)] == [0]
    journal.append_logs([{"n": 1}])
    assert [log["n"] for log in journal.read_logs(0)] == [0, 1]
    assert [json.loads(line)["n"] for line in path.read_text().splitlines()] == [0, 1]


def test_a_journal_of_a_torn_line_alone_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"n"')
    journal = LockedJournal(path)
    assert not list(journal.read_logs(0))
    journal.append_logs([{"n": 1}])
    assert path.read_text() == '{"n":1}\n'


def test_two_processes_lose_no_line(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom trainer.search.journal import LockedJournal\n"
        "journal = LockedJournal(Path(sys.argv[1]))\n"
        "for n in range(100):\n    journal.append_logs([{'who': sys.argv[2], 'n': n}])\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "j"), who]) for who in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    logs = list(LockedJournal(tmp_path / "j").read_logs(0))
    assert all([log["n"] for log in logs if log["who"] == who] == list(range(100)) for who in "ab")


def test_a_study_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def study() -> optuna.Study:
        storage = JournalStorage(LockedJournal(tmp_path / "j"))
        return optuna.create_study(storage=storage, study_name="s", load_if_exists=True)

    study().tell(study().ask(), 1.0)
    with (tmp_path / "j").open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    again = study()
    again.tell(again.ask(), 0.5)
    assert [trial.value for trial in study().trials] == [1.0, 0.5]
