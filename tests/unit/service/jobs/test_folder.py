"""What a process says, taken in once and whole."""

import base64
from pathlib import Path

from runtime.event_file import EventFile
from service.jobs.folder import EventTail, JobFolder


def test_lines_come_once_and_in_order(tmp_path: Path) -> None:
    file, tail = EventFile(tmp_path / "events.jsonl"), EventTail(tmp_path / "events.jsonl", 0)
    assert tail.read().events == []
    file.append("notice", text="hello")
    file.append("metrics", images=64, loss_generator=0.51234)
    found = tail.read()
    assert [(event.type, event.message) for event in found.events] == [
        ("notice", "hello"),
        ("metrics", "metrics: images 64, loss_generator 0.5123"),
    ]
    assert found.sequence == 2
    assert tail.read() == found, "what was not accepted comes again"
    tail.accept(found)
    assert tail.read().events == []
    file.append("failed", exit_code=1, reason="the images are of another size")
    last = tail.read()
    assert (last.sequence, last.events[0].level, last.events[0].message) == (
        3,
        "error",
        "the images are of another size",
    )
    assert last.events[0].data == {"type": "failed", "exit_code": 1, "reason": "the images are of another size"}


def test_a_runner_that_comes_later_takes_only_what_is_new(tmp_path: Path) -> None:
    file = EventFile(tmp_path / "events.jsonl")
    for number in range(1200):
        file.append("notice", text=str(number))
    tail = EventTail(tmp_path / "events.jsonl", 1100)
    seen = []
    while (found := tail.read()).events:
        seen += [event.message for event in found.events]
        tail.accept(found)
    assert seen == [str(number) for number in range(1100, 1200)]


def test_a_line_that_is_not_whole_waits(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    EventFile(path).append("notice", text="whole")
    with path.open("ab") as file:
        file.write(b'{"seq": 2, "time": "2026-')
    tail = EventTail(path, 0)
    found = tail.read()
    assert len(found.events) == 1
    tail.accept(found)
    EventFile(path, attempt=2).append("notice", text="second")  # cuts off the half
    assert [event.message for event in tail.read().events] == ["second"]


def test_a_grid_comes_with_its_picture_and_no_file_from_outside(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "grid.png").write_bytes(b"png")
    (tmp_path / "secret").write_bytes(b"secret")
    file = EventFile(folder / "events.jsonl")
    for name in ("grid.png", "../secret", "missing.png"):
        file.append("grid", images=1, file=name)
    pictures = [event.data["b64_png"] for event in EventTail(folder / "events.jsonl", 0).read().events if event.data]
    assert pictures == [base64.b64encode(b"png").decode(), None, None]


def test_missed_requirements_are_named(tmp_path: Path) -> None:
    requirements = [{"expression": "a<1", "value": 1.3, "met": False}, {"expression": "b<1", "value": 0.1, "met": True}]
    EventFile(tmp_path / "events.jsonl").append("refused", requirements=requirements)
    (event,) = EventTail(tmp_path / "events.jsonl", 0).read().events
    assert (event.level, event.message) == ("error", "requirements are missed: a<1 (it is 1.3)")


def test_the_end_of_a_long_log(tmp_path: Path) -> None:
    folder = JobFolder(tmp_path)
    assert folder.end_of_log() == ""
    folder.log.write_text("x\n" * 10_000 + "the last line\n")
    assert folder.end_of_log().splitlines()[-1] == "the last line"
    assert folder.read_result() is None
    folder.result.write_text("[1]")
    assert folder.read_result() is None
