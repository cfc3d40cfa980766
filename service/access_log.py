"""One log line for each request: who asked for what, how it ended, and where its time went."""

import logging

from service.observation import Observation

_LOG = logging.getLogger("latentd.access")
_LONGEST = 200  # characters of a path, which is the client's own text


def log_request(seen: Observation, *, api: str, method: str, path: str, code: str, seconds: float) -> None:
    """Write the line of a request that is over. Probes and scrapes that went well are for `debug` only.

    Args:
        method: of HTTP, or the full name of a gRPC method.
        path: of HTTP; empty for gRPC.
        code: HTTP status or name of a gRPC status.
    """
    level = logging.DEBUG if api == "operations" and code in ("200", "OK") else logging.INFO
    if not _LOG.isEnabledFor(level):
        return
    method, path = method[:_LONGEST], path[:_LONGEST]
    fields: dict[str, str | int | float] = {"request_id": seen.request_id, "api": api, "method": method, "code": code}
    for name, value in (
        ("path", path),
        ("key_id", seen.key_id),
        ("model", seen.model),
        ("version", seen.version),
        ("rows", seen.rows),
        ("trace_id", seen.span.trace_id if seen.span else ""),
    ):
        if value:
            fields[name] = value
    if seen.rows:
        fields["queue_ms"] = round(seen.queue_s * 1e3, 3)
        fields["run_ms"] = round(seen.run_s * 1e3, 3)
    fields["duration_ms"] = round(seconds * 1e3, 3)
    text = (f"{method} {path}" if path else method, code)
    # Not `_LOG.log`, which walks the stack for a file and a line that are always these.
    _LOG.handle(_LOG.makeRecord(_LOG.name, level, __file__, 0, "%s %s", text, None, extra={"fields": fields}))
