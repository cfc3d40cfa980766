"""`trainer/RESULTS.md`: a heading, and the latest section of every study, kept so that none is lost."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from runtime.atomic import write_atomic
from trainer.results.machine import machine, versions


class Document:
    """Sections in `folder`, composed into `out`."""

    def __init__(self, out: Path, folder: Path, names: Sequence[str], data: str, judge_accuracy: float) -> None:
        """
        Args:
            names: of all sections, in their order.
            data: name of the images.
            judge_accuracy: on held-out real images, 0 … 1.
        """
        self._out, self._folder, self._names = out, folder, names
        self._data, self._judge_accuracy = data, judge_accuracy

    def keep(self, name: str, section: str) -> None:
        """Replace one section, and write the file anew."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomic(self._folder / f"{name}.md", section.encode())
        self._out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._out, self._text().encode())

    def _text(self) -> str:
        kept = [self._folder / f"{name}.md" for name in self._names]
        sections = [path.read_text(encoding="utf-8").strip() for path in kept if path.exists()]
        return "\n\n".join([self._heading(), *sections]) + "\n"

    def _heading(self) -> str:
        lines = [
            "# Results",
            "",
            f"Written by `make results` on {datetime.now(UTC):%Y-%m-%d}; run it again to refresh what has changed.",
            "",
            f"- Machine: {machine()}",
            f"- Versions: {versions()}",
            f"- Judge: a small convolutional network trained on the training images of {self._data}, "
            f"{self._judge_accuracy:.1%} accurate on held-out ones; its hidden layer is the feature space.",
        ]
        return "\n".join(lines)
