"""`--features`: in which features images are compared, and who reads their classes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from trainer.data.images import DataSplit, LabelledImages
from trainer.errors import DataError
from trainer.evaluation.classifier import Classifier, ImageClassifier
from trainer.evaluation.extractors import open_extractor
from trainer.evaluation.features import Features, PcaFeatures
from trainer.evaluation.judge import fit_judge, trained_judge

_QUICK = "support vectors on pixels"
ALLOWED = "judge, pixels, inception=FILE, FILE.pt (TorchScript) or FILE.onnx"


def _known(choice: str) -> str:
    if not re.fullmatch(r"judge|pixels|inception=.+|.+\.(pt|onnx)", choice):
        raise ValueError(f"features: {choice!r}; allowed: {ALLOWED}")
    return choice


FeatureChoice = Annotated[str, AfterValidator(_known)]
"""One of `ALLOWED`."""


@dataclass(frozen=True)
class Eyes:
    """How images are looked at.

    Attributes:
        name: for people: the choice, and the start of the hash of whatever was trained.
        sha256: of the judge's weights or of the extractor's file; None for pixels.
        features: in which sets of images are compared.
        reader: reads the classes of images; trained on real ones. None where there are no classes.
        reader_name: likewise for people.
        reader_kind: likewise, without what it was trained on.
        teach: a reader of the same kind that knows nothing but the images given.
    """

    name: str
    sha256: str | None
    features: Features
    reader: Classifier | None
    reader_name: str
    reader_kind: str
    teach: Callable[[LabelledImages], Classifier]


def default_choice(data: DataSplit) -> str:
    """`judge` for labelled stills, else `pixels`."""
    return "judge" if data.train.spec.classes > 1 and data.train.spec.frames == 1 else "pixels"


def open_eyes(choice: str, data: DataSplit, cache: Path, real_images: int) -> Eyes:
    """What `choice` names; a judge is trained on the training images, once, and kept in `cache`.

    Args:
        real_images: training images at most that a quick reader is taught with, where `choice` brings none.

    Raises:
        DataError: the choice does not fit the images, or see `open_extractor`.
        RunError: the judge that is kept is damaged.
    """
    spec = data.train.spec
    if choice == "judge":
        if spec.frames > 1 or spec.classes < 2:
            what = "sequences" if spec.frames > 1 else "images without classes"
            raise DataError(f"--features judge: {data.source} holds {what}, which it cannot learn; use pixels")
        judge = trained_judge(data, cache)
        name = f"judge {judge.sha256[:12]}"
        return Eyes(name, judge.sha256, judge, judge, name, "judge", fit_judge)
    name, digest, features = _features(choice, data.train.images)
    reader = ImageClassifier(data.train.at_most(real_images)) if spec.classes > 1 else None
    return Eyes(name, digest, features, reader, _QUICK, _QUICK, ImageClassifier)


def _features(choice: str, images: NDArray[np.uint8]) -> tuple[str, str | None, Features]:
    if choice == "pixels":
        return "pixels", None, PcaFeatures(images)
    if images.ndim != 4:
        raise DataError(f"--features {choice}: reads single images, and these are sequences; use pixels")
    file = Path(choice.removeprefix("inception="))
    extractor = open_extractor(file, images, inception=choice.startswith("inception="))
    return f"{file.name} {extractor.sha256[:12]}", extractor.sha256, extractor
