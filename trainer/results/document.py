"""`trainer/RESULTS.md`: a heading, and the latest section of every study; a study replaces its own and no other."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from runtime.atomic import write_atomic
from trainer.results.kept import conditions
from trainer.results.machine import machine, versions

_MARK = "<!-- study: {} -->"
_MARKED = re.compile(r"<!-- study: (\S+) -->\n(.*?)(?=<!-- study: |\Z)", re.DOTALL)


class Document:
    """The file, its sections behind marks that are not seen when it is rendered."""

    def __init__(self, out: Path, figures: Path, names: Sequence[str], data: str, judge_accuracy: float) -> None:
        """
        Args:
            figures: what the sections are made of, one folder per study.
            names: of all sections, in their order.
            data: name of the images.
            judge_accuracy: on held-out real images, 0 … 1.
        """
        self._out, self._figures, self._names = out, figures, names
        self._data, self._judge_accuracy = data, judge_accuracy

    def keep(self, name: str, section: str) -> None:
        """Replace one section, and write the file anew."""
        text = self._out.read_text(encoding="utf-8") if self._out.exists() else ""
        sections = dict(_MARKED.findall(text)) | {name: f"{section.strip()}\n\n{self._measured_on(name)}"}
        marked = [f"{_MARK.format(each)}\n{sections[each].strip()}" for each in self._names if each in sections]
        self._out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(self._out, ("\n\n".join([self._heading(), *marked]) + "\n").encode())

    def _measured_on(self, name: str) -> str:
        """The machines and versions that a section's numbers are from."""
        found = conditions(self._figures / name) or [(machine(), versions())]
        return "\n".join(f"*Measured on {computer}; {packages}.*" for computer, packages in found)

    def _heading(self) -> str:
        written = f"Written by `make results`, last on {datetime.now(UTC):%Y-%m-%d}, on {machine()}"
        return (
            f"# Results\n\n{written}; run it again to refresh what has changed. What was measured is kept, and each "
            "section names the machine it is from. The judge is a small convolutional network trained on the training "
            f"images of {self._data}, {self._judge_accuracy:.1%} accurate on held-out ones; its hidden layer is the "
            "feature space."
        )
