"""How log lines look: for people on a console, or one JSON object on each line for machines.

A record may carry `fields` (`extra={"fields": {...}}`): members of the object, or ``name=value`` behind the text.
Whatever is logged while a request is answered carries its id.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TextIO

from service import observation

Format = Literal["console", "json"]

_encode = json.JSONEncoder(default=repr).encode

# What a client sends must not move a terminal's cursor or begin a line of its own.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160), 0x2028, 0x2029)}


def configure_logs(level: str, form: Format, *, access: bool, stream: TextIO | None = None) -> None:
    """Send every logger's lines to `stream`, by default to stderr; a program that has its own set-up keeps it.

    Args:
        level: least severe level to write: debug, info, warning, error.
        access: whether each request gets a line of its own.
    """
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else ConsoleLines())
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, root.level))
    logging.getLogger("httpx").setLevel(max(logging.WARNING, root.level))  # a line for each look at a Ray cluster
    logging.getLogger("latentd.access").setLevel(logging.NOTSET if access else logging.WARNING)


class JsonLines(logging.Formatter):
    """One JSON object (RFC 8259) on one line, in ASCII: `time` (RFC 3339), `level`, `logger`, `message`, fields."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        second, milliseconds = divmod(int(record.created * 1000), 1000)
        line: dict[str, Any] = {
            "time": f"{_second(second)}.{milliseconds:03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update(_fields(record))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return _encode(line)


class ConsoleLines(logging.Formatter):
    """``2026-11-21 16:00:00,123 INFO latentd: text name=value``; control characters are escaped."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - its name there
        """See `logging.Formatter`; a traceback follows on lines of its own."""
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        return f"{super().formatMessage(record)}{fields}".translate(_CONTROL)


@lru_cache(1)
def _second(since_1970: int) -> str:
    """``2026-11-21T16:00:00``, in UTC."""
    return datetime.fromtimestamp(since_1970, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """The record's own fields, and the id of the request that is being answered."""
    fields: dict[str, Any] = getattr(record, "fields", {})
    request_id = observation.current().request_id
    return {"request_id": request_id, **fields} if request_id else fields
