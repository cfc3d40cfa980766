"""The file of results: a heading and the latest section of each study."""

from pathlib import Path

from trainer.results.document import Document


def document(folder: Path) -> Document:
    """One whose sections are kept below `folder`."""
    return Document(folder / "RESULTS.md", folder / "sections", ("first", "second"), "mnist", 0.991)


def test_sections_stand_in_their_order_whatever_came_first(tmp_path: Path) -> None:
    document(tmp_path).keep("second", "## Second\n")
    document(tmp_path).keep("first", "## First\n\nOne row.\n")
    document(tmp_path).keep("first", "## First\n\nTwo rows.\n")
    text = (tmp_path / "RESULTS.md").read_text()
    assert text.startswith("# Results\n")
    assert "training images of mnist, 99.1% accurate" in text
    assert text.endswith("\n\n## First\n\nTwo rows.\n\n## Second\n")
