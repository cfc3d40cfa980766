"""A fine-tuning whose saved states were damaged goes on from what is left of them."""

from pathlib import Path

import pytest

from runtime.event_file import read_events
from runtime.fine_tuning import ExitCode, read_order
from runtime.package import Package
from tests.kit.image_sets import digits, write_npz
from tests.unit.trainer.finetune.test_run import order, versions
from tests.unit.trainer.test_checkpoints import write
from trainer.checkpoints import read_checkpoint
from trainer.finetune.job import JobFolder
from trainer.finetune.run import run_job

STATES = ("checkpoint.pt", "best.pt", "healthy.pt")


@pytest.mark.parametrize(
    ("present", "damaged", "left", "words"),
    [
        (STATES, (), STATES, None),
        ((), (), (), None),
        (STATES, ("checkpoint.pt",), STATES, "goes on from its best state"),
        (STATES, ("checkpoint.pt", "healthy.pt"), STATES[:2], "goes on from its best state"),
        (STATES, ("healthy.pt",), STATES[:2], "healthy.pt cannot be read: training goes on without it"),
        (STATES, ("best.pt",), (), "best.pt cannot be read: training begins anew"),
        (STATES, STATES, (), "begins anew"),
        (("checkpoint.pt", "healthy.pt"), ("checkpoint.pt",), (), "begins anew"),
        (("checkpoint.pt", "healthy.pt"), ("healthy.pt",), ("checkpoint.pt",), "goes on without it"),
    ],
)
def test_what_is_left_of_a_folder(
    tmp_path: Path,
    base: Package,
    *,
    present: tuple[str, ...],
    damaged: tuple[str, ...],
    left: tuple[str, ...],
    words: str | None,
) -> None:
    job = JobFolder(tmp_path, read_order(order(tmp_path, base, tmp_path)))
    for name in present:
        write(tmp_path / name)
    for name in damaged:
        content = bytearray((tmp_path / name).read_bytes())
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
        (tmp_path / name).write_bytes(content)
    said = job.set_damage_aside()
    assert (said is None) if words is None else (said is not None and words in said)
    assert {path.name for path in tmp_path.glob("*.pt")} == set(left)
    for name in left:
        read_checkpoint(tmp_path / name)
    assert {path.name for path in tmp_path.glob("*.damaged")} == {f"{name}.damaged" for name in damaged}


def test_damage_at_the_end_of_training_is_for_the_next_attempt(base: Package, tmp_path: Path) -> None:
    data = write_npz(tmp_path / "set.npz", digits(range(10), 100, inverted=True))
    folder = order(tmp_path / "job", base, data, epochs=2)
    taken = 0

    def damage(text: str) -> None:
        nonlocal taken
        if text.startswith("trained on") and not taken:
            taken = (folder / "best.pt").write_bytes(b"damaged")

    assert run_job(folder, damage) == ExitCode.MACHINE
    assert "not a checkpoint" in read_events(folder / "events.jsonl")[0][-1].data["message"]
    assert run_job(folder, damage) == ExitCode.PUBLISHED
    told, _ = read_events(folder / "events.jsonl")
    assert [event.data["images"] for event in told if event.type == "started"] == [0, 0]
    assert [event.data["message"] for event in told if event.type == "notice"] == [
        "best.pt cannot be read: training begins anew"
    ]
    assert versions(folder) == {"mine": [1]}
