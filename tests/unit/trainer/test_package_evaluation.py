"""`latentd evaluate` on packages that cost nothing to make."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from runtime.package import Package, open_package
from runtime.store import DirectoryStore
from tests.kit.image_sets import digits, write_npz
from tests.kit.tiny_package import edit_manifest, publish_tiny
from trainer.data import DataConfig, open_data
from trainer.evaluate_cli import evaluate
from trainer.evaluation import judge as judge_module

FEW = ("--samples", "60")


def run(folder: Path, *arguments: object) -> Result:
    """A command with a cache of its own."""
    options = ["--store", folder / "models", "--cache", folder / "cache", *FEW]
    return CliRunner().invoke(evaluate, [str(part) for part in (*arguments, *options)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a store of ``tiny@1``, measured once."""
    folder = tmp_path_factory.mktemp("evaluate")
    publish_tiny(DirectoryStore(folder / "models"), classes=("<b>zero</b>", *map(str, range(1, 10))), size=8)
    publish_tiny(DirectoryStore(folder / "models"), size=8)
    return folder


@pytest.fixture(scope="module")
def measured(folder: Path) -> Package:
    """tiny@2 after a first evaluation."""
    result = run(folder, "tiny", "--features", "pixels")
    assert result.exit_code == 0, result.output
    assert "tiny@2 fp32: 60 samples against 1,438 training and 359 held-out images" in result.output
    assert "not the images it was trained on" in result.output
    assert "coverage" in result.output
    return open_package(folder / "models" / "tiny" / "2")


def test_the_package_verifies_and_holds_the_evidence(measured: Package) -> None:
    assert {"report.html", "evaluation.json"} <= set(measured.manifest.files)
    facts = json.loads(measured.read_verified("evaluation.json"))
    assert facts["package"] == "tiny@2"
    assert facts["settings"]["features"] == "pixels"
    assert facts["data"]["same_as_training"] is False
    assert facts["measures"].keys() == measured.manifest.evaluation.keys()
    assert len(facts["classes"]) == 10
    assert measured.manifest.evaluation["coverage"].interval is not None


class Outline(HTMLParser):
    """Tags that a page opens and does not close, and everything it would load."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "data"}]
        if tag not in {"meta", "img", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Of SVG."""

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_is_whole_and_loads_nothing(measured: Package) -> None:
    text = measured.read_verified("report.html").decode()
    outline = Outline()
    outline.feed(text)
    assert outline.open == []
    assert outline.loads and all(each.startswith("data:image/") for each in outline.loads)
    assert not outline.tags & {"script", "link", "iframe", "object"}
    assert not re.search(r"@import|url\(|https?://", text)
    for part in ("Samples", "From one latent to another", "Measures", "Nearest training", "Classes", "Provenance"):
        assert f"<h2>{part}" in text, part
    assert text.count('<div class="pair">') == 12


def test_names_of_classes_are_text(folder: Path) -> None:
    data = open_data(DataConfig())
    images, labels = data.train.images[:200], data.train.labels[:200]
    np.savez(folder / "named.npz", x=images, y=labels)
    result = run(folder, "tiny@1", "--features", "pixels", "--data", folder / "named.npz")
    assert result.exit_code == 1
    assert "classes 10 (0, 1, 2, …); tiny@1 makes 10 (<b>zero</b>, 1, 2, …)" in result.output


def test_requirements_are_kept_and_judged_anew(folder: Path, measured: Package) -> None:
    result = run(folder, measured.path, "--features", "pixels", "--require", "coverage>=0.99", "--require", "modes>=1")
    assert result.exit_code == 3, result.output
    assert "misses coverage>=0.99: " in result.output
    assert run(folder, measured.path, "--features", "pixels").exit_code == 3
    assert run(folder, measured.path, "--features", "pixels", "--require", "modes>=1").exit_code == 0
    assert open_package(measured.path).manifest.missed() == []


def test_the_judge_is_recorded_by_its_hash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge_module, "_STEPS_LEAST", 5)
    monkeypatch.setattr(judge_module, "_EPOCHS", 0)
    result = run(folder, "tiny@2", "--precision", "int8")
    assert result.exit_code == 0, result.output
    package = open_package(folder / "models" / "tiny" / "2")
    settings = json.loads(package.read_verified("evaluation.json"))["settings"]
    assert re.fullmatch(r"[0-9a-f]{64}", settings["features_sha256"])
    assert package.manifest.evaluation["int8.coverage"].by == f"judge {settings['features_sha256'][:12]}"


def test_an_extractor_of_one_s_own(folder: Path) -> None:
    network = torch.nn.Sequential(torch.nn.AvgPool2d(2), torch.nn.Flatten())
    torch.jit.save(torch.jit.script(network), folder / "mine.pt")
    result = run(folder, "tiny@2", "--features", folder / "mine.pt")
    assert result.exit_code == 0, result.output
    by = open_package(folder / "models" / "tiny" / "2").manifest.evaluation["coverage"].by
    assert by is not None and by.startswith("mine.pt ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent"], "PACKAGE 'absent': no package folder, and the store"),
        (["tiny@x"], "the version must be a number, e.g. tiny@2"),
        (["tiny@7"], "package tiny@7: not in the store"),
        (["tiny", "--require", "covrage>=1"], "no measure 'covrage'; did you mean 'coverage'?"),
        (["tiny", "--features", "vgg"], "features: 'vgg'; allowed: judge, pixels"),
        (["tiny", "--data", "/absent"], "/absent: does not exist"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(folder: Path, arguments: list[str], message: str) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_images_of_another_size_are_named(folder: Path) -> None:
    publish_tiny(DirectoryStore(folder / "models"), "large", size=16)
    result = run(folder, "large")
    assert result.exit_code == 1
    assert "images of 8×8×1, large@1 makes 16×16×1" in result.output


def test_images_of_some_classes_measure_these_alone(folder: Path, tmp_path: Path) -> None:
    names = ("3", "zero", "7", *"124568")
    package = publish_tiny(DirectoryStore(folder / "models"), "more", classes=names, size=8)
    data = write_npz(tmp_path / "some.npz", digits((7, 3), 60))
    result = run(folder, "more", "--features", "pixels", "--data", str(data))
    assert result.exit_code == 0, result.output
    facts = json.loads((package.path / "evaluation.json").read_text())
    assert [row["name"] for row in facts["classes"]] == ["7", "3"]
    unknown = write_npz(tmp_path / "unknown.npz", digits((9, 3), 60))
    result = run(folder, "more", "--data", str(unknown))
    assert result.exit_code == 1
    assert "classes 2 (9, 3); more@1 makes 9 (3, zero, 7, …)" in result.output


def test_a_model_without_classes_has_no_table_of_them(folder: Path) -> None:
    plain = publish_tiny(DirectoryStore(folder / "models"), "plain", classes=(), size=8)
    result = run(folder, "plain", "--features", "pixels")
    assert result.exit_code == 0, result.output
    assert "<h2>Classes" not in (plain.path / "report.html").read_text()
    assert {"modes", "coverage"} <= set(open_package(plain.path).manifest.evaluation)


def test_sequences_are_measured_by_their_motion(folder: Path) -> None:
    moving = publish_tiny(DirectoryStore(folder / "models"), "moving", classes=(), size=20, frames=4)
    prepared = {"moving": {"sequences": 60, "frames": 4}}
    edit_manifest(moving.path, lambda manifest: manifest["provenance"]["config"].update(data=prepared))
    result = run(folder, "moving")
    assert result.exit_code == 0, result.output
    assert {"motion_amount", "frame_frechet_distance", "coverage"} <= set(open_package(moving.path).manifest.evaluation)
    assert "data:image/gif" in (moving.path / "report.html").read_text()
    refused = run(folder, "moving", "--features", "judge")
    assert refused.exit_code == 1
    assert "holds sequences, which it cannot learn; use pixels" in refused.output
