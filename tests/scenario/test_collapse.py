"""A learning rate far too high on the command line: caught, rolled back, reported."""

import json
import os
from pathlib import Path

from tests.kit.server import start_latentd

WITHIN_S = 60.0
"""Seconds of one core: the clock of a busy machine would say nothing."""


def test_a_forced_collapse_is_reported_within_a_minute(tmp_path: Path) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    rates = [f"{player}_optimizer.learning_rate=1.0" for player in ("generator", "discriminator")]
    settings = [part for setting in (*rates, "device.threads=1") for part in ("--set", setting)]
    process = start_latentd("train", "digits-cgan", "--run", str(run), *settings, log=log)
    _, status, used = os.wait4(process.pid, 0)
    text = log.read_text()
    assert os.waitstatus_to_exitcode(status) == 1, text
    assert used.ru_utime + used.ru_stime < WITHIN_S
    alarms = [json.loads(line) for line in (run / "alarms.jsonl").read_text().splitlines()]
    assert [alarm["alarm"] for alarm in alarms] == [1, 2]
    assert all(alarm["back_to"] < alarm["images"] and alarm["reasons"] for alarm in alarms)
    assert "back to 0 images, every learning rate times 0.2" in text
    assert "collapsed 2 times, at last after" in text
    assert "start a new run with lower learning rates" in text
