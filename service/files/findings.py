"""What an upload was found to hold."""

from collections import Counter
from typing import Literal

from pydantic import BaseModel, ConfigDict

FileKind = Literal["image_archive", "idx_archive", "npz", "parquet", "webdataset"]
MOST_LISTED = 20


class Reject(BaseModel):
    """A picture that is left out, and why."""

    model_config = ConfigDict(frozen=True)

    name: str
    reason: str


class Findings(BaseModel):
    """The report on an upload.

    Attributes:
        images: pictures that can be used.
        classes: pictures of each class, by its name; empty where there are none.
        sizes: pictures of each ``WIDTHxHEIGHT``, the most frequent ones.
        channels: pictures by ``grey`` and ``colour``.
        rejected: pictures that cannot be used; the first of them are in `rejects`.
        ignored: members that are no pictures.
    """

    kind: FileKind
    images: int = 0
    classes: dict[str, int] = {}
    sizes: dict[str, int] = {}
    channels: dict[str, int] = {}
    rejected: int = 0
    rejects: list[Reject] = []
    ignored: int = 0


class Tally:
    """Findings while they are made."""

    def __init__(self, kind: FileKind) -> None:
        self.kind: FileKind = kind
        self.classes: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self.channels: Counter[str] = Counter()
        self.images = self.rejected = self.ignored = 0
        self.rejects: list[Reject] = []

    def add(self, width: int, height: int, *, grey: bool, label: str | None, count: int = 1) -> None:
        """Note `count` pictures that can be used."""
        self.images += count
        self.sizes[f"{width}x{height}"] += count
        self.channels["grey" if grey else "colour"] += count
        if label is not None:
            self.classes[label] += count

    def reject(self, name: str, reason: str) -> None:
        """Note a picture that cannot."""
        self.rejected += 1
        if len(self.rejects) < MOST_LISTED:
            self.rejects.append(Reject(name=name[:200], reason=reason[:200]))

    def finish(self) -> Findings:
        """The report."""
        return Findings(
            kind=self.kind,
            images=self.images,
            classes=dict(sorted(self.classes.items())[:1000]),
            sizes=dict(self.sizes.most_common(MOST_LISTED)),
            channels=dict(self.channels),
            rejected=self.rejected,
            rejects=self.rejects,
            ignored=self.ignored,
        )
