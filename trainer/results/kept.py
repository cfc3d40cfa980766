"""Results kept under a key, so that nothing is trained or measured twice."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from runtime.atomic import write_atomic
from trainer.results.machine import machine, versions
from trainer.training import resolve

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")

_NEW_IN_EVALUATION = ("features", "require")
# What keys of before there were other methods of compression hold in place of `export.int8`.
_INT8_THEN = {"calibration": "min-max", "images": 512, "operators": ["Conv", "Gemm", "Resize", "Relu"]}
_ONLY_WORDS = ("family", "description", "package")


def training_key(recipe: str, settings: Sequence[str], data_fingerprint: str) -> str:
    """SHA-256 in hex of everything that decides how a training goes: the resolved recipe and the images."""
    config = resolve(recipe, tuple(settings)).model_dump(mode="json")
    config["data"]["path"] = None  # the fingerprint says which images
    for field in _NEW_IN_EVALUATION:  # has no part in training, and keys from before it came stay good
        del config["evaluation"][field]
    config["export"]["int8"] = _INT8_THEN  # has no part in training either
    if config["start_from"] is None:  # keys of before there was the field stay good
        del config["start_from"]
    return key_of({field: value for field, value in config.items() if field not in _ONLY_WORDS}, data_fingerprint)


def key_of(*parts: Any) -> str:
    """SHA-256 in hex of `parts`, which are what JSON can hold."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def read_kept(path: Path, key: str | Callable[[T], str], kind: type[T]) -> T | None:
    """The dataclass that `path` keeps, or None where there is none under this `key`, which may depend on it."""
    if not path.exists():
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    try:
        value: T = TypeAdapter(kind).validate_python(kept["value"])
    except ValidationError:  # of an earlier version, which measured something else
        return None
    return value if kept["key"] == (key if isinstance(key, str) else key(value)) else None


def write_kept(path: Path, key: str, value: "DataclassInstance") -> None:
    """Keep `value` in `path`, in place of what it kept before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(
        path,
        json.dumps(
            {"key": key, "machine": machine(), "versions": versions(), "value": asdict(value)}, indent=2
        ).encode(),
    )


def conditions(folder: Path) -> list[tuple[str, str]]:
    """Machine and versions of whatever is kept in `folder`, each pair once."""
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    return sorted({(each["machine"], each["versions"]) for each in kept})
