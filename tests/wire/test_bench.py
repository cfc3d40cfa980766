"""`latentd bench` against a real server."""

import json
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from service.client.bench_cli import bench
from tests.kit.server import ServerProcess


def run(*args: str) -> Result:
    return CliRunner().invoke(bench, [*args, "--seconds", "0.6", "--warm-up", "0.1"], catch_exceptions=False)


@pytest.mark.parametrize("transport", ["http", "grpc"])
@pytest.mark.parametrize("loop", [("--concurrency", "2"), ("--rate", "50")])
def test_it_measures_and_writes_what_it_found(
    server: ServerProcess, transport: str, loop: tuple[str, str], tmp_path: Path
) -> None:
    address = ("--url", server.http) if transport == "http" else ("--grpc", server.grpc)
    out, picture = tmp_path / "new" / "load.json", tmp_path / "load.png"
    result = run(*address, *loop, "--n", "3", "--precision", "fp32", "--json", str(out), "--plot", str(picture))
    assert result.exit_code == 0, result.output
    assert "images/s" in result.output
    assert "p99" in result.output
    assert "█" in result.output
    found = json.loads(out.read_text())
    assert set(found["answers"]) == {"ok"}
    assert found["images_per_second"] == pytest.approx(3 * found["requests_per_second"])
    assert sum(found["histogram"]["counts"]) == found["answers"]["ok"]
    assert found["latency_seconds"]["p50"] <= found["latency_seconds"]["max"] < 5
    assert found["request"]["n"] == 3
    with Image.open(picture) as image:
        assert image.size == (1000, 520)
        assert len(image.getcolors(1 << 20) or ()) > 20


def test_an_open_loop_keeps_its_rate(server: ServerProcess, tmp_path: Path) -> None:
    out = tmp_path / "load.json"
    run("--url", server.http, "--rate", "40", "--even", "--json", str(out))
    assert json.loads(out.read_text())["requests_per_second"] == pytest.approx(40, rel=0.2)


def test_what_the_server_refuses_is_said_at_once(server: ServerProcess) -> None:
    result = run("--url", server.http, "--model", "nothing")
    assert result.exit_code == 1
    assert f"{server.http} answered 404 to the first request" in result.output
    assert "answered NOT_FOUND" in run("--grpc", server.grpc, "--model", "nothing").output


def test_without_a_server_there_is_one_line() -> None:
    for address in (("--url", "http://127.0.0.1:9"), ("--grpc", "127.0.0.1:9")):
        result = run(*address)
        assert result.exit_code == 1
        assert len(result.output.splitlines()) == 1


def test_one_loop_at_a_time() -> None:
    result = run("--rate", "5", "--concurrency", "2")
    assert result.exit_code == 2
    assert "give one of them" in result.output


def test_the_server_saw_the_requests(server: ServerProcess) -> None:
    def count() -> float:
        lines = httpx.get(f"{server.http}/metrics").text.splitlines()
        wanted = 'latentd_requests_total{api="http",code="200",model="plain",version="1"}'
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(wanted))

    before = count()
    result = run("--url", server.http, "--model", "plain", "--concurrency", "1")
    answered = int(result.output.split("answers: ")[1].split(" ok")[0])
    assert count() - before >= answered > 0


def test_the_share_of_onnxruntimes_own_throughput(server: ServerProcess, tmp_path: Path) -> None:
    out, store = tmp_path / "share.json", server.log.parents[1] / "models"
    arguments = ["--share-of", "tiny", "--store", str(store), "--url", server.http, "--grpc", server.grpc]
    result = CliRunner().invoke(bench, [*arguments, "--seconds", "0.05", "--json", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found = json.loads(out.read_text())
    assert {(share["case"]["transport"], share["case"]["layout"]) for share in found} == {
        ("HTTP", "raw"), ("HTTP", "png"), ("gRPC", "raw"),
    }  # fmt: skip
    assert all(0 < share["share"] < 1.5 and len(share["rates"]) == 3 for share in found)
    assert len([line for line in result.output.splitlines() if line.startswith("| HTTP | 1 |")]) == 4
    missing = CliRunner().invoke(bench, ["--share-of", "nothing", "--store", str(store)])
    assert (missing.exit_code, "not in the store, which holds" in missing.output) == (1, True)
