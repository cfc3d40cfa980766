"""Events: numbered without gaps, whole or not at all, whatever befell their writer."""

import errno
import json
import os
from pathlib import Path

import pytest

from runtime.event_file import EventFile, read_events


def test_what_is_appended_is_read_back_in_order(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "events.jsonl", attempt=3)
    file.append("started", images=0)
    file.append("metrics", loss=0.5, text="Größe ✓")
    events, offset = read_events(tmp_path / "events.jsonl")
    assert [(event.seq, event.attempt, event.type) for event in events] == [(1, 3, "started"), (2, 3, "metrics")]
    assert events[1].data == {"loss": 0.5, "text": "Größe ✓"}
    assert offset == (tmp_path / "events.jsonl").stat().st_size


def test_a_reader_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    assert read_events(path) == ([], 0)
    file = EventFile(path)
    file.append("one")
    _, offset = read_events(path)
    file.append("two")
    file.append("three")
    events, end = read_events(path, offset)
    assert [event.type for event in events] == ["two", "three"]
    assert read_events(path, end) == ([], end)
    assert [event.type for event in read_events(path, most=2)[0]] == ["one", "two"]


def test_the_next_writer_counts_on(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventFile(path).append("one")
    second = EventFile(path, attempt=2)
    assert second.last is not None and second.last.type == "one"
    assert second.append("two").seq == 2


@pytest.mark.parametrize("rest", [b'{"seq": 3, "ti', b"\0\0\0\0", b"\0\0\n", b'{"seq": 3}\n{"seq": 4}\n'])
def test_what_a_killed_writer_left_is_cut_off(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "events.jsonl"
    first = EventFile(path)
    first.append("one")
    first.append("two")
    with path.open("ab") as file:
        file.write(rest)
    assert [event.type for event in read_events(path)[0]] == ["one", "two"]
    EventFile(path).append("three")
    assert [(event.seq, event.type) for event in read_events(path)[0]] == [(1, "one"), (2, "two"), (3, "three")]


def test_a_full_disk_leaves_no_half_line_and_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "events.jsonl"
    file = EventFile(path)
    file.append("one")
    real_write = os.write

    def fill_up(descriptor: int, content: bytes) -> int:
        if len(content) > 10:
            return real_write(descriptor, content[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fill_up)
        with pytest.raises(OSError, match="No space left"):
            file.append("lost")
    assert len(path.read_bytes().splitlines()) == 1
    assert file.append("two").seq == 2
    assert [event.type for event in read_events(path)[0]] == ["one", "two"]


def test_numbers_that_json_does_not_know_become_null(tmp_path: Path) -> None:
    EventFile(tmp_path / "events.jsonl").append("metrics", loss=float("nan"), parts=[float("inf"), 1.0], n={"a": 2})
    line = json.loads((tmp_path / "events.jsonl").read_text())
    assert line["data"] == {"loss": None, "parts": [None, 1.0], "n": {"a": 2}}
