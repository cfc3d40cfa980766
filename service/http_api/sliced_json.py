"""Large JSON in slices, so that a thread which reads it lets the event loop run in between.

Python's own decoder (and pydantic's) holds the interpreter lock from the first to the last byte: 16 MB of numbers stop
every other request for as long, in whatever thread they are read. Here only slices of a list of plain values, at most
64 kB each, go to that decoder in one piece.
"""

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # missing in the stubs
from typing import Any

_SLICE = 64 << 10
_DEPTH = 32
_ELEMENTS = 1_000_000
_SPACE = re.compile(r"[ \t\n\r]*")


class JsonError(ValueError):
    """The text is not JSON, or beyond what is read here; says where."""


def decode(text: str) -> Any:
    """The value of a JSON text (RFC 8259).

    Raises:
        JsonError: not JSON; nested deeper than 32, or a list of more than a million elements.
    """
    try:
        value, end = _value(text, _skip(text, 0), 0)
    except JsonError:
        raise
    except IndexError as error:
        raise JsonError("it ends too early") from error
    except ValueError as error:  # of a plain value
        raise JsonError(str(error)) from error
    if _skip(text, end) != len(text):
        raise JsonError(f"more text after the value at character {end}")
    return value


def _value(text: str, at: int, depth: int) -> tuple[Any, int]:
    first = text[at]
    if first in "[{" and depth >= _DEPTH:
        raise JsonError(f"nested deeper than {_DEPTH} at character {at}")
    if first == "{":
        return _object(text, _skip(text, at + 1), depth + 1)
    if first == "[":
        return _list(text, _skip(text, at + 1), depth + 1)
    return _DECODER.raw_decode(text, at)


def _object(text: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    if text[at] == "}":
        return found, at + 1
    while True:
        if text[at] != '"':
            raise JsonError(f"a name in quotes is missing at character {at}")
        name, at = scanstring(text, at + 1, True)
        at = _skip(text, at)
        if text[at] != ":":
            raise JsonError(f"':' is missing at character {at}")
        found[name], at = _value(text, _skip(text, at + 1), depth)
        at = _skip(text, at)
        if text[at] == "}":
            return found, at + 1
        at = _comma(text, at)


def _list(text: str, at: int, depth: int) -> tuple[list[Any], int]:
    found: list[Any] = []
    if text[at] == "]":
        return found, at + 1
    while True:
        flat = _flat_slice(text, at)
        if flat is not None:
            values, at = flat
            found += values
        else:
            value, at = _value(text, at, depth)
            found.append(value)
        if len(found) > _ELEMENTS:
            raise JsonError(f"a list of over {_ELEMENTS} elements at character {at}")
        at = _skip(text, at)
        if text[at] == "]":
            return found, at + 1
        at = _comma(text, at)


def _flat_slice(text: str, at: int) -> tuple[list[Any], int] | None:
    """Plain values from `at` to a comma or to the end of their list, in one go; None where other things come."""
    end = text.find("]", at, at + _SLICE)
    if end < 0:
        end = text.rfind(",", at, at + _SLICE)
    if end <= at or any(text.find(mark, at, end) >= 0 for mark in '"[{'):
        return None
    values: list[Any] = _DECODER.decode(f"[{text[at:end]}]")
    return (values, end) if values else None


def _comma(text: str, at: int) -> int:
    if text[at] != ",":
        raise JsonError(f"',' is missing at character {at}")
    return _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    """The next character that is no space."""
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


_DECODER = json.JSONDecoder()
