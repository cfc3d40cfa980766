"""Dropping samples that a judge, trained on real images, does not recognise as the class they were drawn for."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.images import DataSplit
from trainer.errors import DataError

CONFIDENCE = 0.5
"""By default the class must be likelier than all others together."""

Scores = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Images uint8 ``[n, …]`` to logits or probabilities ``[n, classes]``."""


@dataclass(frozen=True)
class RecognitionFilter:
    """A `runtime.synthesis.drawing.Filter`.

    Attributes:
        open_scores: makes the judge, in the process where it is needed.
        confidence: least probability that the judge gives to the class asked for, 0 … 1.
        details: what the judge is, for the plan.
    """

    open_scores: Callable[[], Scores]
    confidence: float
    details: dict[str, Any]

    @property
    def name(self) -> str:
        """As on the command line."""
        return "reject-unrecognised"

    def describe(self) -> dict[str, Any]:
        """See `Filter`."""
        return {**self.details, "min_confidence": self.confidence}

    def __call__(self, images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        """See `Filter`."""
        assert labels is not None, "packages without classes are refused before"
        return self.confidences(images, labels) >= self.confidence

    def confidences(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Probability of each image's own class, ``[n]``."""
        return as_probabilities(self._scores(images))[np.arange(len(images)), labels]

    @cached_property
    def _scores(self) -> Scores:
        return self.open_scores()

    def __getstate__(self) -> dict[str, Any]:
        """Without the judge, which is opened again in each process."""
        return {name: self.__dict__[name] for name in ("open_scores", "confidence", "details")}


def as_probabilities(scores: NDArray[np.float32]) -> NDArray[np.float64]:
    """`scores` as they are where every row is a distribution, else their softmax."""
    values = scores.astype(np.float64)
    if (values >= 0).all() and np.allclose(values.sum(1), 1, atol=1e-3):
        return values
    powers = np.exp(values - values.max(1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(1, keepdims=True)
    return shares


@dataclass(frozen=True)
class KeptJudge:
    """Opens the judge that `trainer.evaluation.judge` keeps in a folder.

    Attributes:
        sample: real images that stand for all: one of them, with the fingerprint of the set.
    """

    sample: DataSplit
    folder: Path

    def __call__(self) -> Scores:
        """The judge's logits, on one thread: another number of threads may differ in the last bit."""
        import torch

        from trainer.evaluation.judge import trained_judge

        torch.set_num_threads(1)
        judge = trained_judge(self.sample, self.folder)
        return lambda images: judge._run(images)[1]  # it shows logits to nobody yet


@dataclass(frozen=True)
class ClassifierFile:
    """Opens an ONNX classifier."""

    path: Path

    def __call__(self) -> Scores:
        """Its first output; images go in as they are where it takes uint8, else as float32 0 … 1 with channels first.

        Raises:
            DataError: onnxruntime refuses it, or it takes something else.
        """
        import onnxruntime

        from runtime.generator import session_options

        try:
            session = onnxruntime.InferenceSession(
                self.path.read_bytes(), session_options(), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime raises bare classes of its own
            raise DataError(f"{self.path}: no classifier that onnxruntime can run: {error}") from error
        (entry, *others) = session.get_inputs()
        if others or entry.type not in ("tensor(uint8)", "tensor(float)"):
            taken = ", ".join(f"{given.name}: {given.type}" for given in session.get_inputs())
            raise DataError(f"{self.path}: takes {taken}; one tensor of images is needed, uint8 NHWC or float NCHW")
        whole = entry.type == "tensor(uint8)"

        def scores(images: NDArray[np.uint8]) -> NDArray[np.float32]:
            given = images if whole else np.moveaxis(images, -1, -3).astype(np.float32) / np.float32(255)
            found: NDArray[np.float32] = session.run(None, {entry.name: given})[0]
            return found

        return scores


def judge_of(data: DataSplit, source: str, confidence: float, folder: Path) -> RecognitionFilter:
    """The filter whose judge is trained on `data`, whose classes are the package's, and kept in `folder`.

    Raises:
        DataError: `data` are sequences, which the judge cannot see.
    """
    from trainer.evaluation.judge import trained_judge

    if data.train.spec.frames > 1:
        raise DataError(f"{source}: the judge sees single images; a classifier of sequences can be given as .onnx file")
    fingerprint = data.fingerprint()
    judge = trained_judge(data, folder)
    one = data.train.subset(np.zeros(1, np.int64))
    sample = DataSplit(data.source, one, one, fingerprint)
    weights = next(folder.glob(f"judge-{fingerprint[:16]}*"))
    details = {
        "data": source,
        "fingerprint": fingerprint,
        "judge_sha256": _sha256(weights),
        "judge_accuracy": round(judge.accuracy(data.held_out), 4),
    }
    found = RecognitionFilter(KeptJudge(sample, folder), confidence, details)
    kept = found.confidences(data.held_out.images, data.held_out.labels) >= confidence
    return RecognitionFilter(
        found.open_scores, confidence, {**details, "real_dropped": round(float(1 - kept.mean()), 4)}
    )


def classifier_in(path: Path, classes: int, shape: tuple[int, ...], confidence: float) -> RecognitionFilter:
    """The filter whose judge is an ONNX file.

    Raises:
        DataError: it does not run on images of `shape`, or does not know as many `classes`.
    """
    opener = ClassifierFile(path)
    scores = opener()
    try:
        found = scores(np.zeros((2, *shape), np.uint8))
    except Exception as error:  # as above
        raise DataError(f"{path}: fails on images of shape {list(shape)}: {error}") from error
    if found.shape != (2, classes):
        raise DataError(f"{path}: answers {list(found.shape)} for 2 images; [2, {classes}] is needed, one per class")
    return RecognitionFilter(opener, confidence, {"classifier": path.name, "classifier_sha256": _sha256(path)})


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
