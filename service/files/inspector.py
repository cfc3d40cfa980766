"""Looks into an upload, as a process of its own: ``python -m service.files.inspector PATH NAME LIMITS``.

Writes one JSON object: ``{"findings": …}`` or ``{"refused": "why"}``. Decoders of images are large and old programs;
what goes wrong in one ends this process and nothing else.
"""

import json
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from service.files.archives import Refused, is_tar, is_zip, read_members
from service.files.arrays import inspect_idx, inspect_npz, is_idx_name
from service.files.class_folders import classes_of
from service.files.findings import FileKind, Findings, Tally
from service.files.limits import FileLimits
from service.files.pictures import SUFFIXES, BadPicture, look_at
from service.files.shards import inspect_parquet, inspect_shard

_SNIFFED = 50
_LABEL_SUFFIXES = frozenset({".cls", ".json"})
TAKES = (
    ".zip or .tar (also .gz, .bz2, .xz) of images with one folder per class or of IDX files, .npz, .parquet, "
    "or WebDataset .tar"
)


def inspect(path: Path, name: str, limits: FileLimits) -> Findings:
    """What `path`, uploaded as `name`, holds.

    Raises:
        Refused: it is of no known kind, its name says another than its content does, or see the kind's own module.
    """
    kind = kind_of(path, name, limits)
    ways: dict[FileKind, Callable[[Path, FileLimits], Findings]] = {
        "image_archive": inspect_image_archive,
        "idx_archive": inspect_idx,
        "npz": inspect_npz,
        "parquet": inspect_parquet,
        "webdataset": inspect_shard,
    }
    findings = ways[kind](path, limits)
    total = findings.images + findings.rejected
    if findings.rejected > limits.rejected_share * total or not findings.images:
        first = f": {findings.rejects[0].name} ({findings.rejects[0].reason})" if findings.rejects else ""
        raise Refused(f"{findings.rejected} of {total} images cannot be used{first}" if total else "no images in it")
    return findings


def kind_of(path: Path, name: str, limits: FileLimits) -> FileKind:
    """The kind by content; the name's suffix must not say another.

    Raises:
        Refused: neither is known, or they differ.
    """
    suffix = Path(name).suffix.lower()
    with path.open("rb") as file:
        start = file.read(4)
    if not start:
        raise Refused("the file is empty")
    if start == b"PAR1":
        return _agreed("parquet", suffix, {".parquet"})
    if is_zip(path):
        if suffix == ".npz":
            return "npz"
        _agreed("image_archive", suffix, {".zip"})
        return "idx_archive" if _holds_idx(path, limits) else "image_archive"
    if is_tar(path):
        _agreed("image_archive", suffix, {".tar", ".gz", ".tgz", ".bz2", ".xz", ".txz", ".tbz2"})
        first = list(islice(read_members(path, limits), _SNIFFED))
        if any(is_idx_name(member.path.name) for member in first):
            return "idx_archive"
        return "webdataset" if any(member.suffix in _LABEL_SUFFIXES for member in first) else "image_archive"
    raise Refused(f"its content is of no known kind, or damaged; allowed: {TAKES}")


def inspect_image_archive(path: Path, limits: FileLimits) -> Findings:
    """Pictures by folder.

    Raises:
        Refused: see `read_members`; pictures beside class folders.
    """
    tally = Tally("image_archive")
    seen: list[tuple[str, int, int, bool]] = []
    for member in read_members(path, limits):
        if member.suffix not in SUFFIXES:
            tally.ignored += 1
            continue
        try:
            picture = look_at(member.content, limits.side)
        except BadPicture as error:
            tally.reject(str(member.path), str(error))
            continue
        seen.append((str(member.path.parent), picture.width, picture.height, picture.grey))
    labels = classes_of([folder for folder, *_ in seen])
    for folder, width, height, grey in seen:
        tally.add(width, height, grey=grey, label=labels[folder])
    return tally.finish()


def _holds_idx(path: Path, limits: FileLimits) -> bool:
    return any(is_idx_name(member.path.name) for member in islice(read_members(path, limits), _SNIFFED))


def _agreed(kind: FileKind, suffix: str, suffixes: set[str]) -> FileKind:
    if suffix not in suffixes:
        shown = ", ".join(sorted(suffixes))
        raise Refused(f"its name ends in {suffix or 'nothing'!r}, its content is that of a file in {shown}")
    return kind


def main() -> None:
    """The process's life."""
    path, name, limits = Path(sys.argv[1]), sys.argv[2], FileLimits.model_validate_json(sys.argv[3])
    answer: dict[str, Any]
    try:
        answer = {"findings": inspect(path, name, limits).model_dump(mode="json")}
    except Refused as error:
        answer = {"refused": str(error)}
    except MemoryError:
        answer = {"refused": f"looking into it takes more than {limits.memory_bytes >> 20} MiB of memory"}
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
