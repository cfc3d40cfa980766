"""A closed loop over HTTP/1.1 at little cost; see `service.client.lean_client`."""

import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from service.client.lean_client import LeanClient, run_clients
from service.client.load import Load

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


class _Client(LeanClient):
    """One kept-alive connection."""

    def __init__(self, request: bytes, load: Load) -> None:
        super().__init__(load)
        self._request = request
        self._answer = bytearray()
        self._size = 0  # of the whole answer, once its head has come

    def request(self) -> bytes:
        """See `LeanClient`."""
        return self._request

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._answer += data
        if not self._size:
            head = self._answer.find(b"\r\n\r\n")
            if head < 0:
                return
            length = _LENGTH.search(self._answer, 0, head + 2)
            if not self._answer.startswith(b"HTTP/1.1 200") or length is None:
                self.fail(bytes(self._answer))
                return
            self._size = head + 4 + int(length[1])
        if len(self._answer) >= self._size:
            self._answer.clear()
            self._size = 0
            self.answered()


def closed_loop(
    url: str, body: Mapping[str, object], *, concurrency: int, seconds: float, headers: Mapping[str, str] | None = None
) -> Load:
    """POST `body` to `url`, an ``http://`` one, from `concurrency` connections, each with one request at a time.

    Raises:
        UnexpectedAnswer: an answer was not 200.
        OSError: the server cannot be reached.
    """
    address = urlsplit(url)
    content = json.dumps(body).encode()
    given = {"Host": address.netloc, "Content-Length": len(content), **(headers or {})}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    request = f"POST {address.path} HTTP/1.1\r\n{head}\r\n".encode() + content
    return run_clients(
        lambda load: _Client(request, load),
        address.hostname or "",
        address.port or 80,
        concurrency=concurrency,
        seconds=seconds,
    )
