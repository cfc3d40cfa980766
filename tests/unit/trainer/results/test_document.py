"""The file of results: a heading and the latest section of each study."""

import json
from pathlib import Path

from trainer.results.document import Document


def document(folder: Path) -> Document:
    """In `folder`."""
    return Document(folder / "RESULTS.md", folder / "figures", ("first", "second"), "mnist", 0.991)


def test_sections_stand_in_their_order_whatever_came_first(tmp_path: Path) -> None:
    document(tmp_path).keep("second", "## Second\n")
    document(tmp_path).keep("first", "## First\n\nOne row.\n")
    document(tmp_path).keep("first", "## First\n\nTwo rows.\n")
    text = (tmp_path / "RESULTS.md").read_text()
    assert text.startswith("# Results\n")
    assert "training images of mnist, 99.1% accurate" in text
    assert "One row" not in text
    assert text.index("## First\n\nTwo rows.\n\n*Measured on ") < text.index("## Second\n")
    assert text.count("*Measured on ") == 2


def test_a_section_names_the_machines_its_rows_are_from(tmp_path: Path) -> None:
    for number, computer in enumerate(("an abacus", "a loom", "a loom")):
        kept = tmp_path / "figures" / "first" / f"{number}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps({"machine": computer, "versions": "Python 3", "value": {}}))
    document(tmp_path).keep("first", "## First\n")
    text = (tmp_path / "RESULTS.md").read_text()
    assert text.endswith("## First\n\n*Measured on a loom; Python 3.*\n*Measured on an abacus; Python 3.*\n")
