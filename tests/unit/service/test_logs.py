"""Log lines: JSON objects that parse whatever is logged, or text that no client can forge."""

import contextvars
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from service import observation
from service.access_log import log_request
from service.logs import Format, configure_logs
from service.observation import Observation

NASTY = 'a "quote"\n2026-01-01 INFO latentd: forged\x1b[2J\u2028\udcff'


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Logging as in a process of its own; afterwards as pytest has it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    for name in ("uvicorn", "latentd.access"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def logged(form: Format, level: str = "info", *, access: bool = True) -> io.StringIO:
    stream = io.StringIO()
    logging.getLogger().handlers.clear()
    configure_logs(level, form, access=access, stream=stream)
    return stream


def only_object(stream: io.StringIO) -> dict[str, Any]:
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1, lines
    found: dict[str, Any] = json.loads(lines[0])
    return found


def test_a_program_that_has_its_own_set_up_keeps_it() -> None:
    first, second = logged("json"), io.StringIO()
    configure_logs("info", "console", access=True, stream=second)
    logging.getLogger("latentd").info("something")
    assert only_object(first)["message"] == "something"
    assert second.getvalue() == ""


def test_a_json_line_has_time_level_logger_message_and_fields() -> None:
    stream = logged("json")
    logging.getLogger("latentd.part").warning("%d of %d", 1, 2, extra={"fields": {"rows": 3}})
    line = only_object(stream)
    assert line.pop("time").endswith("Z")
    assert line == {"level": "warning", "logger": "latentd.part", "message": "1 of 2", "rows": 3}


def test_whatever_is_logged_stays_one_line_that_parses() -> None:
    stream = logged("json")
    logging.getLogger("latentd").info("%s", NASTY, extra={"fields": {"path": NASTY, "thing": object()}})
    line = only_object(stream)
    assert line["message"] == line["path"] == NASTY
    assert line["thing"].startswith("<object")


def test_an_exception_is_a_member_of_its_line() -> None:
    stream = logged("json")
    try:
        raise RuntimeError("on fire")
    except RuntimeError:
        logging.getLogger("latentd").exception("a batch failed")
    line = only_object(stream)
    assert line["message"] == "a batch failed"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("RuntimeError: on fire")


def test_a_console_line_cannot_be_forged() -> None:
    stream = logged("console")
    logging.getLogger("latentd").info("%s", NASTY.removesuffix("\udcff"), extra={"fields": {"rows": 3}})
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(r"\x0a2026-01-01 INFO latentd: forged\x1b[2J\x2028 rows=3")


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_is_logged_during_a_request_carries_its_id(form: Format) -> None:
    stream = logged(form)
    request = contextvars.copy_context()
    request.run(observation.observe, Observation("abc-1"))
    request.run(logging.getLogger("latentd").info, "something")
    assert ('"request_id": "abc-1"' if form == "json" else "request_id=abc-1") in stream.getvalue()


def test_an_access_line_says_what_is_known_and_leaves_out_the_rest() -> None:
    stream = logged("json")
    seen = Observation("abc", key_id="0123abcd", model="tiny", version="3", rows=4, queue_s=0.001, run_s=0.0025)
    log_request(seen, api="http", method="POST", path="/v1/samples", code="200", seconds=0.004)
    line = only_object(stream)
    del line["time"]
    assert line == {
        "level": "info",
        "logger": "latentd.access",
        "message": "POST /v1/samples 200",
        "request_id": "abc",
        "api": "http",
        "method": "POST",
        "code": "200",
        "path": "/v1/samples",
        "key_id": "0123abcd",
        "model": "tiny",
        "version": "3",
        "rows": 4,
        "queue_ms": 1.0,
        "run_ms": 2.5,
        "duration_ms": 4.0,
    }
    stream = logged("json")
    log_request(Observation("abc"), api="grpc", method="/a.B/C", path="", code="INTERNAL", seconds=0.0)
    assert not {"path", "key_id", "model", "rows", "queue_ms", "trace_id"} & set(only_object(stream))


def test_a_long_path_is_cut() -> None:
    stream = logged("json")
    log_request(Observation("abc"), api="http", method="GET", path="/x" * 9999, code="404", seconds=0.0)
    assert len(stream.getvalue()) < 800


@pytest.mark.parametrize(
    ("level", "access", "api", "code", "lines"),
    [
        ("info", True, "http", "200", 1),
        ("info", True, "operations", "200", 0),  # a probe every few seconds
        ("info", True, "operations", "OK", 0),
        ("info", True, "operations", "503", 1),
        ("debug", True, "operations", "200", 1),
        ("info", False, "http", "200", 0),
        ("warning", True, "http", "200", 0),
    ],
)
def test_which_requests_get_a_line(level: str, access: bool, api: str, code: str, lines: int) -> None:
    stream = logged("console", level, access=access)
    log_request(Observation("abc"), api=api, method="GET", path="/", code=code, seconds=0.0)
    assert len(stream.getvalue().splitlines()) == lines
