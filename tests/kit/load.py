"""A load generator that costs little: HTTP/1.1 with keep-alive over plain asyncio streams.

A full client library takes about a millisecond of a core per request, which on the machine of the server would
measure the client.
"""

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)


@dataclass
class Load:
    """What a closed loop of clients saw.

    Attributes:
        seconds: how long it ran.
        latencies: one entry per answer, in seconds.
    """

    seconds: float
    latencies: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds


async def closed_loop(url: str, body: dict[str, object], *, concurrency: int, seconds: float) -> Load:
    """POST `body` to `url` from `concurrency` connections, each with one request at a time.

    Raises:
        AssertionError: an answer was not 200.
    """
    address = urlsplit(url)
    content = json.dumps(body).encode()
    head = f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(content)}\r\n\r\n"
    request = head.encode() + content
    load = Load(seconds)
    end = time.perf_counter() + seconds

    async def client() -> None:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            while (start := time.perf_counter()) < end:
                writer.write(request)
                header = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(header)
                assert header.startswith(b"HTTP/1.1 200"), header
                assert length is not None, header
                await reader.readexactly(int(length[1]))
                load.latencies.append(time.perf_counter() - start)
        finally:
            writer.close()

    await asyncio.gather(*(client() for _ in range(concurrency)))
    return load
