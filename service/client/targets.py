"""Servers under load, over HTTP and over gRPC, with as little work of our own per request as can be.

A full HTTP client takes about a millisecond of a core per request, which on the server's machine would measure the
client; so this one writes HTTP/1.1 to kept-alive connections itself.
"""

import asyncio
import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from service.client.connection import Connection

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: close", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """What each request asks for; the seed is the load generator's.

    Attributes:
        file_format: as `/v1/samples` takes it; ``raw`` where the encoding shall not be measured.
    """

    model: str | None = None
    n: int = 1
    precision: str = "auto"
    file_format: str = "raw"
    timeout_s: float = 30.0


class HttpTarget:
    """`POST /v1/samples` over a pool of connections that grows as needed."""

    def __init__(self, connection: Connection, wanted: Wanted) -> None:
        """Raises OSError where a certificate file is missing."""
        address = urlsplit(connection.url)
        self._wanted = wanted
        self._host = address.hostname or "127.0.0.1"
        self._port = address.port or (443 if address.scheme == "https" else 80)
        self._ssl = connection.ssl_context()
        key = f"Authorization: Bearer {connection.api_key}\r\n" if connection.api_key else ""
        path = f"{address.path.rstrip('/')}/v1/samples"
        self._head = f"POST {path} HTTP/1.1\r\nHost: {address.netloc}\r\n{key}Accept: */*\r\nContent-Length: "
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(self, seed: int) -> str:
        """See `Target.call`."""
        body = json.dumps(_body(self._wanted, seed))
        request = f"{self._head}{len(body)}\r\n\r\n{body}".encode()
        writer = None
        try:
            async with asyncio.timeout(self._wanted.timeout_s):
                fresh = not self._idle
                reader, writer = self._idle.pop() if self._idle else await self._connect()
                writer.write(request)
                try:
                    header = await reader.readuntil(b"\r\n\r\n")
                except (asyncio.IncompleteReadError, ConnectionError):
                    if fresh:
                        raise
                    writer.close()  # the server had closed it while it was idle
                    reader, writer = await self._connect()
                    writer.write(request)
                    header = await reader.readuntil(b"\r\n\r\n")
                status, length = _STATUS.match(header), _LENGTH.search(header)
                if status is None or length is None:
                    raise ConnectionError("not an answer")
                await reader.readexactly(int(length[1]))
        except TimeoutError:
            return self._dropped(writer, "timeout")
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            return self._dropped(writer, type(error).__name__)
        if _CLOSES.search(header):
            writer.close()
        else:
            self._idle.append((reader, writer))
        return "ok" if status[1] == b"200" else status[1].decode()

    async def close(self) -> None:
        """See `Target.close`."""
        for _, writer in self._idle:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self._host, self._port, ssl=self._ssl)

    def _dropped(self, writer: asyncio.StreamWriter | None, word: str) -> str:
        if writer is not None:
            writer.close()
        return word


class GrpcTarget:
    """`latentd.v1.Generation/Sample` over one channel."""

    def __init__(self, connection: Connection, wanted: Wanted) -> None:
        """Raises ValueError where `wanted` names no precision or format of gRPC's; OSError as above."""
        import grpc

        from service.grpc_api._generated.latentd_v1_generation_pb2 import Format, Precision, SampleRequest
        from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub

        assert connection.grpc is not None
        self._error = grpc.RpcError
        self._timeout_s = wanted.timeout_s
        self._metadata = connection.metadata()
        self._request = SampleRequest
        self._fields: dict[str, Any] = {
            "model": wanted.model or "",
            "n": wanted.n,
            "precision": Precision.Value(f"PRECISION_{wanted.precision.upper()}"),
            "format": Format.Value(f"FORMAT_{wanted.file_format.upper()}"),
        }
        options = [("grpc.max_receive_message_length", -1)]
        credentials = connection.grpc_credentials()
        self._channel: Any = (
            grpc.aio.insecure_channel(connection.grpc, options=options)
            if credentials is None
            else grpc.aio.secure_channel(connection.grpc, credentials, options=options)
        )
        self._stub: Any = GenerationStub(self._channel)

    async def call(self, seed: int) -> str:
        """See `Target.call`."""
        request = self._request(**self._fields, seed=seed)
        try:
            await self._stub.Sample(request, timeout=self._timeout_s, metadata=self._metadata)
        except self._error as error:
            code: str = error.code().name
            return code
        return "ok"

    async def close(self) -> None:
        """See `Target.close`."""
        await self._channel.close()


def _body(wanted: Wanted, seed: int) -> dict[str, object]:
    body: dict[str, object] = {
        "n": wanted.n,
        "seed": seed,
        "precision": wanted.precision,
        "format": wanted.file_format,
    }
    return {"model": wanted.model, **body} if wanted.model else body
