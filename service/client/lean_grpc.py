"""A closed loop over gRPC at little cost: as much of HTTP/2 (RFC 9113) as one unary call at a time takes.

See `service.client.lean_client`. Headers are sent as HPACK literals (RFC 7541 §6.2.2); those that come are not read: a
call that failed is told by the message that its answer lacks.
"""

import asyncio
import struct
from collections.abc import Sequence

from service.client.lean_client import LeanClient, run_clients
from service.client.load import Load

_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _PING, _GOAWAY, _WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
_END_STREAM, _ACK, _END_HEADERS = 0x1, 0x1, 0x4
_HEAD = 9  # bytes before a frame's content
_WINDOW = 2**31 - 1
_PAID_BACK = 1 << 20  # bytes received before the connection's window is opened again
_INITIAL_WINDOW_SIZE, _DEFAULT_WINDOW = 4, 65_535
_METHOD_POST, _SCHEME_HTTP, _AUTHORITY, _PATH = b"\x83", b"\x86", b"\x01", b"\x04"  # of HPACK's static table


class _Client(LeanClient):
    """One connection; each call is a stream of its own."""

    def __init__(self, headers: bytes, message: bytes, load: Load) -> None:
        super().__init__(load)
        self._headers = headers
        self._message = struct.pack(">BI", 0, len(message)) + message
        self._stream = -1
        self._buffer = bytearray()
        self._received = 0  # bytes of the message
        self._owed = 0  # bytes taken from the connection's window

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        settings = _frame(_SETTINGS, 0, 0, struct.pack(">HI", _INITIAL_WINDOW_SIZE, _WINDOW))
        window = _frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", _WINDOW - _DEFAULT_WINDOW))
        self.transport.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + window)

    def request(self) -> bytes:
        """See `LeanClient`."""
        self._stream += 2
        self._received = 0
        call = _frame(_HEADERS, _END_HEADERS, self._stream, self._headers)
        return call + _frame(_DATA, _END_STREAM, self._stream, self._message)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        buffer = self._buffer
        buffer += data
        start, ended = 0, False
        while len(buffer) - start >= _HEAD:
            end = start + _HEAD + int.from_bytes(buffer[start : start + 3])
            if len(buffer) < end:
                break
            kind, flags = buffer[start + 3], buffer[start + 4]
            if kind in (_DATA, _HEADERS):
                self._received += (end - start - _HEAD) if kind == _DATA else 0
                ended = ended or bool(flags & _END_STREAM)
            elif kind in (_RST_STREAM, _GOAWAY):
                self.fail(f"frame of type {kind}: {bytes(buffer[start + _HEAD : end])!r}".encode())
                return
            elif kind in (_SETTINGS, _PING) and not flags & _ACK:
                echoed = bytes(buffer[start + _HEAD : end]) if kind == _PING else b""
                self.transport.write(_frame(kind, _ACK, 0, echoed))
            start = end
        del buffer[:start]
        if ended:
            self._end_call()

    def _end_call(self) -> None:
        if not self._received:
            self.fail(b"a call was refused")
            return
        self._owed += self._received
        if self._owed > _PAID_BACK:
            self.transport.write(_frame(_WINDOW_UPDATE, 0, 0, struct.pack(">I", self._owed)))
            self._owed = 0
        self.answered()


def closed_loop(
    address: str,
    method: str,
    message: bytes,
    *,
    concurrency: int,
    seconds: float,
    metadata: Sequence[tuple[str, str]] = (),
) -> Load:
    """Call `method` (``/package.Service/Method``) with a serialized `message`, as `lean_http.closed_loop` posts.

    Args:
        address: ``host:port``, without TLS.

    Raises:
        UnexpectedAnswer: a call failed.
        OSError: the server cannot be reached.
    """
    fields = [("te", "trailers"), ("content-type", "application/grpc"), ("grpc-timeout", "30S"), *metadata]
    headers = b"".join(
        [
            _METHOD_POST + _SCHEME_HTTP,
            _PATH + _string(method),
            _AUTHORITY + _string(address),
            *(b"\x00" + _string(name) + _string(value) for name, value in fields),
        ]
    )
    host, _, port = address.rpartition(":")
    return run_clients(
        lambda load: _Client(headers, message, load),
        host.strip("[]"),
        int(port),
        concurrency=concurrency,
        seconds=seconds,
    )


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + struct.pack(">BBI", kind, flags, stream) + content


def _string(text: str) -> bytes:
    """A string literal of HPACK (RFC 7541 §5.2), not compressed."""
    content, most = text.encode(), 127
    if len(content) < most:
        return bytes([len(content)]) + content
    length, rest = bytearray([most]), len(content) - most
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes(length) + bytes([rest]) + content
