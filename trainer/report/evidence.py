"""What is written beside the graphs of a measured package."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from runtime import __version__
from runtime.manifest import Manifest, Precision
from trainer.data.images import DataSplit
from trainer.evaluation import Evaluation, EvaluationConfig
from trainer.evaluation.feature_choice import Eyes
from trainer.evaluation.resampling import SCHEME
from trainer.report.before import Before
from trainer.report.page import Page, render
from trainer.report.pictures import Pictures

REPORT_FILE, EVALUATION_FILE = "report.html", "evaluation.json"

History = list[dict[str, Any]]
"""Lines of a run's `metrics.jsonl`, or some of them evenly spaced."""

_SCHEMA = 1


@dataclass(frozen=True)
class Evidence:
    """An evaluation with all that shows how it came about.

    Attributes:
        data: with the held-out images that were looked at.
        history: of the training; empty where it is not known.
        before: of a fine-tuning.
    """

    precision: Precision
    config: EvaluationConfig
    data: DataSplit
    eyes: Eyes
    evaluation: Evaluation
    pictures: Pictures
    history: History
    before: Before | None = None

    def files(self, manifest: Manifest) -> dict[str, bytes]:
        """`report.html` and `evaluation.json` of the package that `manifest` describes, by name."""
        facts = self._facts(manifest)
        page = render(
            Page(
                manifest,
                facts,
                self.evaluation.measures,
                self.evaluation.classes,
                self.pictures,
                self.history,
                self.before,
            )
        )
        return {
            REPORT_FILE: page.encode(),
            EVALUATION_FILE: (json.dumps(facts, indent=2, ensure_ascii=False) + "\n").encode(),
        }

    def _facts(self, manifest: Manifest) -> dict[str, Any]:
        evaluation, fingerprint = self.evaluation, self.data.fingerprint()
        return {
            "schema": _SCHEMA,
            "package": manifest.reference,
            "precision": self.precision,
            "evaluated": datetime.now(UTC).isoformat(timespec="seconds"),
            "code_version": __version__,
            "data": {
                "source": Path(self.data.source).name,
                "fingerprint": fingerprint,
                "same_as_training": fingerprint == manifest.provenance.data.fingerprint,
                "training_images": len(self.data.train),
                "held_out_images": len(self.data.held_out),
            },
            "settings": {
                "samples": len(evaluation.samples),
                "first_seed": self.config.first_seed,
                "features": self.eyes.name,
                "features_sha256": self.eyes.sha256,
                "classes_read_by": self.eyes.reader_name if self.eyes.reader else None,
                "intervals": SCHEME,
            },
            "measures": {name: found.model_dump() for name, found in evaluation.measures.items()},
            "before": None if self.before is None else self.before.facts(),
            "classes": [asdict(row) for row in evaluation.classes],
            "memorisation": {
                "signs": evaluation.copying,
                "exact_copies": int(evaluation.closeness.exact.sum()),
                "near_copies": int(evaluation.closeness.near.sum()),
                "near_is_below": evaluation.near_is_below,
                "nearest": [
                    {
                        "seed": self.config.first_seed + each.number,
                        "training_row": each.training_row,
                        "distance": each.distance,
                    }
                    for each in self.pictures.neighbours
                ],
            },
            "requirements": [requirement.model_dump() for requirement in manifest.requirements],
        }
