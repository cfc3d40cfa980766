"""What `latentd serve --help` shows is run as it stands."""

import re
import shlex
from typing import Any

import httpx
from click.testing import CliRunner
from grpc_health.v1 import health_pb2

from service.cli import serve
from tests.kit.server import ServerProcess

TEXT = CliRunner().invoke(serve, ["--help"], terminal_width=200).output
PYTHON = re.split(r"\n\s*\n", TEXT.partition("Or in Python")[2].partition("Beyond this machine")[0].rstrip())
"""A heading and the lines of each client."""


def shown(client: str) -> str:
    """The lines of the client that `client` is a part of."""
    (block,) = [block for block in PYTHON if client in block]
    lines = [line.strip() for line in block.splitlines()[1:]]
    assert 2 < len(lines) < 10
    return "\n".join(lines)


def run(code: str, server: ServerProcess) -> dict[str, Any]:
    """The names that `code` leaves, with this server for the default one."""
    names: dict[str, Any] = {}
    here = code.replace("127.0.0.1:8000", server.http.removeprefix("http://")).replace("MODEL", "tiny")
    exec(here.replace("127.0.0.1:8001", server.grpc), names)  # noqa: S102 - the help is ours
    return names


def test_openai(server: ServerProcess) -> None:
    assert run(shown("import openai"), server)["image"]


def test_tritonclient_over_both_transports(server: ServerProcess) -> None:
    code = shown("import numpy, tritonclient.http")
    images = run(code, server)["images"]
    assert images.shape == (2, 8, 8, 1)
    over_grpc = code.replace("tritonclient.http", "tritonclient.grpc").replace("127.0.0.1:8000", "127.0.0.1:8001")
    assert (run(over_grpc, server)["images"] == images).all()


def test_native_grpc_and_its_health_check(server: ServerProcess) -> None:
    names = run(shown("GenerationStub"), server)
    assert [image.seed for image in names["images"]] == [7, 8]
    assert names["health"].status == health_pb2.HealthCheckResponse.SERVING


def test_no_other_client_is_shown() -> None:
    assert len(PYTHON) == 3


def test_the_curl_commands(server: ServerProcess) -> None:
    commands = [shlex.split(line) for line in TEXT.splitlines() if line.strip().startswith("curl")]
    assert len(commands) == 2
    for command in commands:
        url = next(word for word in command if word.startswith("http")).replace("http://127.0.0.1:8000", server.http)
        body = command[command.index("-d") + 1] if "-d" in command else None
        header = dict([command[command.index("-H") + 1].split(": ")]) if "-H" in command else {}
        answer = httpx.request("POST" if body else "GET", url, content=body, headers=header)
        assert answer.status_code == 200
