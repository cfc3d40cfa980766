"""A data set of 50,000 images, its job killed once: the very bytes of the command line."""

import os
import random
import signal
from pathlib import Path

import httpx
import pytest

from runtime.store import DirectoryStore
from tests.kit.data_sets import contents
from tests.kit.processes import wait_for
from tests.kit.server import running_server, start_latentd
from tests.kit.tiny_package import publish_tiny
from tests.scenario.test_job_faults import (
    LEASE,
    check_result,
    is_over,
    no_orphans,
    process_of,
    submit,
    wait_until_half_way,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

WITHIN_S = 800.0
SHARD = 1_000
PARTS = 50_000 // SHARD


def test_fifty_thousand_images_killed_once(tmp_path: Path) -> None:
    store, out, state = DirectoryStore(tmp_path / "models"), tmp_path / "out", tmp_path / "state"
    publish_tiny(store, precisions=("fp32",))
    options = ("--per-class", "5000", "--format", "webdataset", "--shard-size", str(SHARD), "--seed", "8")
    command = ("synthesize", "tiny", "--store", str(store.root), "--out", str(out), *options)
    with running_server(store.root, state, *LEASE) as server:
        job_id = submit(server.http, n_per_class=5000, shard_size=SHARD, seed=8)
        wait_until_half_way(state, job_id, random.Random(8).randrange(1, PARTS))
        pid = process_of(state, job_id)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: is_over(server.http, job_id), WITHIN_S, what="the end of the job")
        found = httpx.get(f"{server.http}/v1/datasets/{job_id}").json()
        assert (found["attempt"], found["rows"]) == (2, 50_000)
        assert start_latentd(*command, log=tmp_path / "log").wait(WITHIN_S) == 0, (tmp_path / "log").read_text()
        check_result(server.http, job_id, contents(out))
    no_orphans(state)
