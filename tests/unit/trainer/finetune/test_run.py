"""From an order in a folder to a package, a refusal, or a reason."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer.finetune.run as run_module
from runtime.event_file import Event, read_events
from runtime.fine_tuning import ExitCode, FineTuneOrder, parse_config, read_order, read_result, write_order
from runtime.generator import Generator
from runtime.latents import row_seeds
from runtime.package import Package, open_package
from runtime.store import DirectoryStore
from tests.kit.image_sets import digits, write_folder, write_npz
from trainer.checkpoints import read_checkpoint
from trainer.finetune.run import run_job
from trainer.packaging import publish

QUICK: dict[str, Any] = {
    "epochs": 12,
    "max_minutes": 60,
    "precisions": ["fp32"],
    "learning_rate_multiplier": 8,
    "require": [],
    "rehearsal": 0.5,
}


@pytest.fixture(scope="module")
def inverted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All ten digits, dark on white."""
    images = digits(range(10), 100, inverted=True)
    return write_npz(tmp_path_factory.mktemp("inverted") / "inverted.npz", images)


def order(folder: Path, base: Package, data: Path, **settings: Any) -> Path:
    """A folder with an order in it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = parse_config(QUICK | settings)
    write_order(
        folder,
        FineTuneOrder(
            job=f"ft-{folder.name}",
            package=str(base.path),
            data=str(data),
            store=str(folder.parent / "models"),
            name="mine",
            config=config,
        ),
    )
    return folder


def events(folder: Path) -> list[Event]:
    found, _ = read_events(folder / "events.jsonl")
    assert [event.seq for event in found] == list(range(1, len(found) + 1))
    return found


def versions(folder: Path) -> dict[str, list[int]]:
    return DirectoryStore(folder.parent / "models").versions()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, base: Package, inverted: Path) -> Path:
    """The folder of a finished job."""
    folder = order(
        tmp_path_factory.mktemp("done") / "job", base, inverted, require=["kernel_distance_ratio<1"], epochs=40
    )
    assert run_job(folder, print) == ExitCode.PUBLISHED
    return folder


def test_the_package_serves_and_says_where_it_comes_from(done: Path, base: Package) -> None:
    package = DirectoryStore(done.parent / "models").open("mine", 1)
    images = Generator(package, "fp32").sample(row_seeds(0, 40))
    assert images.shape == (40, 8, 8, 1)
    assert images.mean() > 128  # dark on white
    assert Generator(base, "fp32").sample(row_seeds(0, 40)).mean() < 128
    manifest = package.manifest
    assert manifest.classes == base.manifest.classes
    provenance = manifest.provenance
    assert (provenance.parent, provenance.recipe) == ("digits-cgan@1", "digits-cgan")
    assert provenance.data.images == 80
    assert provenance.config["start_from"] == "digits-cgan/1"
    assert provenance.config["data"]["path"] == "inverted.npz"
    assert provenance.config["fine_tuning"]["epochs"] == 40


def test_evidence_of_before_and_after_is_in_the_package(done: Path) -> None:
    package = DirectoryStore(done.parent / "models").open("mine", 1)
    found = package.manifest.evaluation
    before, after = found["base.held_out_kernel_distance"], found["held_out_kernel_distance"]
    assert found["kernel_distance_ratio"].value == pytest.approx(after.value / before.value)
    assert after.value < before.value
    assert after.interval is not None
    assert "base.label_accuracy" in found and "base.near_copies" not in found
    assert [each.expression for each in package.manifest.requirements] == ["kernel_distance_ratio<1"]
    facts = json.loads(package.read_verified("evaluation.json"))
    assert facts["before"]["package"] == "digits-cgan@1"
    report = package.read_verified("report.html").decode()
    assert "Before and after" in report
    assert "digits-cgan@1, which the fine-tuning began with" in " ".join(report.split())


def test_events_tell_the_whole_story(done: Path) -> None:
    told = events(done)
    kinds = [event.type for event in told]
    assert kinds[:3] == ["stage", "before", "started"]
    assert kinds[-2:] == ["stage", "finished"]
    assert {"metrics", "measurement", "checkpoint", "grid"} <= set(kinds)
    started = told[2].data
    assert (started["images"], started["training_images"], started["held_out_images"]) == (0, 80, 20)
    assert started["frozen_layers"] == 1
    for event in told:
        if event.type in ("grid", "checkpoint"):
            assert (done / event.data["file"]).is_file()
    last = told[-1].data
    assert (last["package"], last["exit_code"]) == ("mine@1", 0)
    assert last["measures"]["kernel_distance_ratio"] < 1


def test_the_best_measured_state_is_the_one_that_is_packaged(done: Path) -> None:
    measured = {
        event.data["images"]: event.data["kernel_distance"]
        for event in events(done)
        if event.type == "measurement" and not event.data["copying_signs"]
    }
    result = read_result(done)
    assert result is not None
    assert result.images == min(measured, key=lambda images: measured[images])
    assert result.measures["kernel_distance_ratio"] < 1


def test_a_finished_job_is_not_done_again(done: Path) -> None:
    before = events(done)
    said: list[str] = []
    assert run_job(done, said.append) == ExitCode.PUBLISHED
    assert "is finished: mine@1" in said[0]
    assert events(done) == before


def test_killed_between_publishing_and_saying_so_publishes_once(done: Path) -> None:
    (done / "result.json").unlink()
    assert run_job(done, print) == ExitCode.PUBLISHED
    assert versions(done) == {"mine": [1]}
    result = read_result(done)
    assert result is not None and result.package == "mine@1"


def test_classes_are_merged_and_the_child_can_be_fine_tuned_again(base: Package, tmp_path: Path) -> None:
    images = digits((3, 7), 160)
    stars = write_npz(tmp_path / "set.npz", type(images)(images.images, images.labels, ("3", "star")))
    first = order(tmp_path / "first", base, stars)
    assert run_job(first, print) == ExitCode.PUBLISHED
    child = DirectoryStore(tmp_path / "models").open("mine", 1)
    assert child.manifest.classes == [*"0123456789", "star"]
    started = next(event.data for event in events(first) if event.type == "started")
    assert started["new_classes"] == ["star"]
    assert started["rehearsed_images"] == 9 * 32
    labels = np.full(4, 10, np.int64)
    assert Generator(child, "fp32").sample(row_seeds(0, 4), labels).shape == (4, 8, 8, 1)
    second = order(tmp_path / "second", child, stars, classes="data", adapter="low-rank", rank=2)
    assert run_job(second, print) == ExitCode.PUBLISHED
    grandchild = DirectoryStore(tmp_path / "models").open("mine", 2)
    assert grandchild.manifest.classes == ["3", "star"]
    assert grandchild.manifest.provenance.parent == "mine@1"
    assert grandchild.manifest.provenance.config["from_scratch"]["generator_rate"] == 5e-4


@pytest.mark.parametrize("adapter", ["norm", "low-rank"])
def test_adapters_are_merged_before_export(base: Package, inverted: Path, tmp_path: Path, adapter: str) -> None:
    assert run_job(order(tmp_path / "job", base, inverted, adapter=adapter), print) == ExitCode.PUBLISHED
    child = DirectoryStore(tmp_path / "models").open("mine", 1)
    ours, theirs = (read_checkpoint(package.path / "checkpoint.pt") for package in (child, base))
    for network in ("generator", "generator_ema", "discriminator"):
        assert ours["system"][network].keys() == theirs["system"][network].keys()
    assert ours["position"]["steps"] > theirs["position"]["steps"]
    ours_kernel, theirs_kernel = (each["system"]["generator_ema"]["to_image.weight"] for each in (ours, theirs))
    assert bool((ours_kernel == theirs_kernel).all()) == (adapter == "norm")


def test_a_missed_requirement_refuses_and_keeps_the_evidence(base: Package, inverted: Path, tmp_path: Path) -> None:
    folder = order(tmp_path / "job", base, inverted, require=["coverage>1", "recall>=0"])
    assert run_job(folder, print) == ExitCode.REFUSED
    assert versions(folder) == {}
    assert not list((tmp_path / "models" / ".staging").iterdir())
    result = read_result(folder)
    assert result is not None and result.package is None
    assert [each.met for each in result.requirements] == [False, True]
    assert "Misses" in (folder / "refused" / "report.html").read_text()
    assert events(folder)[-1].type == "refused"
    assert run_job(folder, print) == ExitCode.REFUSED  # for good


def test_a_missed_requirement_may_mark_the_package(base: Package, inverted: Path, tmp_path: Path) -> None:
    folder = order(tmp_path / "job", base, inverted, require=["coverage>1"], on_miss="mark")
    assert run_job(folder, print) == ExitCode.PUBLISHED
    assert len(DirectoryStore(tmp_path / "models").open("mine", 1).manifest.missed()) == 1


def test_unusable_images_are_refused_with_a_reason(base: Package, tmp_path: Path) -> None:
    images = digits((3, 7), 40)
    larger = type(images)(images.images.repeat(2, 1).repeat(2, 2), images.labels, images.class_names)
    folder = order(tmp_path / "job", base, write_folder(tmp_path / "larger", larger))
    assert run_job(folder, print) == ExitCode.UNUSABLE
    last = events(folder)[-1]
    assert (last.type, last.data["exit_code"]) == ("failed", 1)
    assert "images of 16×16×1, digits-cgan@1 makes 8×8×1" in last.data["message"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"package": "/nowhere"}, "a folder STORE/NAME/VERSION is needed"),
        ({"config": QUICK | {"require": ["coverag>1"]}}, "did you mean 'coverage'"),
        ({"data": "/nowhere"}, "nowhere: does not exist"),
    ],
)
def test_unusable_orders_are_refused_with_a_reason(
    base: Package, inverted: Path, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    folder = order(tmp_path / "job", base, inverted)
    content = json.loads((folder / "job.json").read_text())
    (folder / "job.json").write_text(json.dumps(content | change))
    assert run_job(folder, print) == ExitCode.UNUSABLE
    assert reason in events(folder)[-1].data["message"]


def test_without_an_order_nothing_is_begun(tmp_path: Path) -> None:
    assert run_job(tmp_path, print) == ExitCode.USAGE
    assert list(tmp_path.iterdir()) == []


def test_other_settings_are_refused_on_a_job_that_was_begun(done: Path, base: Package, inverted: Path) -> None:
    result = (done / "result.json").read_bytes()
    try:
        (done / "result.json").unlink()
        content = json.loads((done / "job.json").read_text())
        other = content | {"job": "ft-2", "config": content["config"] | {"adapter": "norm"}}
        (done / "job.json").write_text(json.dumps(other))
        assert run_job(done, print) == ExitCode.UNUSABLE
        assert "begun with job=ft-job, now job=ft-2" in events(done)[-1].data["message"]
    finally:
        (done / "job.json").write_text(json.dumps(content))
        (done / "result.json").write_bytes(result)


def test_a_later_attempt_elsewhere_leaves_nothing_to_publish(
    base: Package, inverted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = order(tmp_path / "job", base, inverted)
    real = publish

    def meanwhile(*arguments: Any, **options: Any) -> Package:
        write_order(folder, read_order(folder).model_copy(update={"attempt": 2}))
        return real(*arguments, **options)

    monkeypatch.setattr(run_module, "publish", meanwhile)
    assert run_job(folder, print) == ExitCode.NOT_OURS
    assert versions(folder) == {}
    assert read_result(folder) is None
    monkeypatch.undo()
    assert run_job(folder, print) == ExitCode.PUBLISHED
    assert [event.attempt for event in events(folder)][-1] == 2


def test_a_folder_that_is_held_is_left_alone(done: Path) -> None:
    with held(done):
        assert run_job(done, print) == ExitCode.NOT_OURS


@contextmanager
def held(folder: Path) -> Iterator[None]:
    from trainer.run_folder import RunFolder

    with RunFolder(folder).locked():
        yield


def test_a_full_disk_is_the_machines_fault_and_the_job_goes_on_later(
    base: Package, inverted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = order(tmp_path / "job", base, inverted)

    def full(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "packaged.pt")

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "write_checkpoint", full)
        assert run_job(folder, print) == ExitCode.MACHINE
    assert events(folder)[-1].data == {"exit_code": 74, "message": "packaged.pt: No space left on device"}
    assert run_job(folder, print) == ExitCode.PUBLISHED
    assert [event.type for event in events(folder)].count("before") == 1  # measured once per job


def test_a_defect_is_told_apart(
    base: Package, inverted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = order(tmp_path / "job", base, inverted)

    def broken(*_arguments: Any) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(run_module, "prepare", broken)
    assert run_job(folder, print) == ExitCode.DEFECT
    assert events(folder)[-1].data["message"] == "ZeroDivisionError: division by zero"
    assert "Traceback" in capsys.readouterr().err


def test_a_package_without_its_checkpoint_cannot_be_fine_tuned(base: Package, inverted: Path, tmp_path: Path) -> None:
    manifest = json.loads((base.path / "manifest.json").read_text())
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in base.path.iterdir():
        if file.name != "checkpoint.pt":
            (copy / file.name).write_bytes(file.read_bytes())
    del manifest["files"]["checkpoint.pt"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    folder = order(tmp_path / "job", open_package(copy), inverted)
    assert run_job(folder, print) == ExitCode.UNUSABLE
    assert "holds no checkpoint.pt" in events(folder)[-1].data["message"]
