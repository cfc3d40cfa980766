"""What `latentd serve --help` shows is run as it stands."""

import re
import shlex
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from service.cli import serve
from tests.kit.server import ServerProcess


@pytest.fixture(scope="module")
def text() -> str:
    return CliRunner().invoke(serve, ["--help"], terminal_width=200).output


def test_the_python_clients(text: str, server: ServerProcess) -> None:
    block = re.search(r"Or in Python, .*?:\n(.*?)\n\s*\n", text, re.DOTALL)
    assert block is not None
    lines = [line.strip() for line in block[1].splitlines()]
    assert 3 < len(lines) < 10
    names: dict[str, Any] = {}
    for line in lines:
        here = line.replace("127.0.0.1:8000", server.http.removeprefix("http://")).replace("MODEL", "tiny")
        exec(here.replace("127.0.0.1:8001", server.grpc), names)  # noqa: S102 - the help is ours


def test_the_curl_commands(text: str, server: ServerProcess) -> None:
    commands = [shlex.split(line) for line in text.splitlines() if line.strip().startswith("curl")]
    assert len(commands) == 2
    for command in commands:
        url = next(word for word in command if word.startswith("http")).replace("http://127.0.0.1:8000", server.http)
        body = command[command.index("-d") + 1] if "-d" in command else None
        header = dict([command[command.index("-H") + 1].split(": ")]) if "-H" in command else {}
        answer = httpx.request("POST" if body else "GET", url, content=body, headers=header)
        assert answer.status_code == 200
