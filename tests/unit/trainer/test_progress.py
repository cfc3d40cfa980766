"""Bars of long work: seen on a terminal after a moment, and gone at the end."""

import io
import sys
import time

import pytest

from trainer import progress
from trainer.progress import watched


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_work_that_takes_long_shows_a_bar_and_short_work_none(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert list(watched(range(3), "short work")) == [0, 1, 2]
    assert terminal.getvalue() == ""
    monkeypatch.setattr(progress, "_QUIET_SECONDS", 0.1)
    for _ in watched(range(4), "long work"):
        time.sleep(0.3)
    assert "long work:  50%" in terminal.getvalue()
