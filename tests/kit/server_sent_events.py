"""Server-sent events as a client sees them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Sent:
    """One event: its id, and its data; None where that is ``[DONE]``."""

    id: int | None
    data: dict[str, Any] | None


def events_of(
    http: str, path: str, *, last: int | None = None, headers: dict[str, str] | None = None, timeout: float = 60
) -> Iterator[Sent]:
    """The events of ``GET path`` until the stream ends."""
    asked = {"Accept": "text/event-stream", **(headers or {})}
    if last is not None:
        asked["Last-Event-ID"] = str(last)
    with httpx.stream("GET", f"{http}{path}", headers=asked, timeout=timeout) as answer:
        assert answer.status_code == httpx.codes.OK, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        number: int | None = None
        for line in answer.iter_lines():
            if line.startswith("id: "):
                number = int(line[4:])
            elif line == "data: [DONE]":
                yield Sent(None, None)
            elif line.startswith("data: "):
                yield Sent(number, json.loads(line[6:]))
