"""Schemathesis over the whole OpenAPI document: no 5xx, no undocumented status, content type or body."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from runtime.store import DirectoryStore
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root: Path = tmp_path_factory.mktemp("fuzz")
    store = DirectoryStore(root / "models")
    publish_tiny(store, "tiny", precisions=("fp32",))
    publish_tiny(store, "seer", classes=(), encoder=True, precisions=("fp32",))
    with running_server(store.root, root / "state", "--default-model", "tiny", "--max-images", "64") as process:
        yield process


def resident_kb(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


def fuzz(server: ServerProcess, cases: int) -> Counter[int]:
    """`cases` requests to every operation; returns how often each status came.

    Raises:
        AssertionError: an answer is not what the document says.
    """
    schema = schemathesis.openapi.from_url(f"{server.http}/openapi.json")
    found: Counter[int] = Counter()
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), "the document is not valid"
        operation = result.ok()

        @settings(
            max_examples=cases,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def send(case: Any) -> None:
            response = case.call(base_url=server.http, timeout=60)
            case.validate_response(response, checks=CHECKS)
            found[response.status_code] += 1

        send()
    return found


@pytest.mark.parametrize("cases", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_every_answer_is_one_that_the_document_promises(server: ServerProcess, cases: int) -> None:
    fuzz(server, 2)
    before = resident_kb(server)
    found = fuzz(server, cases)
    assert found[200] > 20
    assert found[400] > 20
    assert max(found) < 500
    assert cases < 100 or sum(found.values()) >= 2000
    for model in ("tiny", "seer"):
        assert httpx.post(f"{server.http}/v2/repository/models/{model}/load").status_code == 200
    assert httpx.post(f"{server.http}/v1/samples", json={"n": 4}).status_code == 200
    assert resident_kb(server) - before < 30_000
    assert "Traceback" not in server.log.read_text()
