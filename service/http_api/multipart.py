"""``multipart/form-data`` (RFC 7578) with one file, read as it comes: nothing of the file is kept in memory."""

from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from service.errors import Cancelled, InvalidRequest, UnsupportedMedia

_FIELDS, _FIELD_BYTES = 20, 4096


class Upload:
    """A form whose file has begun to come.

    Attributes:
        filename: as the client calls it.
        fields: the form's other fields; complete once `chunks` has ended, since they may follow the file.
    """

    def __init__(self, request: Request, boundary: bytes) -> None:
        self._body = request.stream()
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_part_data": self._data,
                "on_part_end": self._part_end,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_end": self._finish,
            },
        )
        self.filename: str | None = None
        self.fields: dict[str, str] = {}
        self._waiting: list[bytes] = []
        self._header, self._value, self._headers = b"", b"", dict[bytes, bytes]()
        self._field: str | None = None
        self._content = bytearray()
        self._in_file = self._whole = False
        self._parts = 0  # beside the file

    async def begin(self) -> None:
        """Read up to the file.

        Raises:
            InvalidRequest: there is none, or this is no form.
        """
        while self.filename is None and await self._more():
            pass
        if self.filename is None:
            raise InvalidRequest(
                "file: got no file; allowed: a form with a field file that has a filename", param="file"
            )

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes of the file; then the rest of the form is read.

        Raises:
            InvalidRequest: the form is broken, or ends too early.
            Cancelled: the client went away.
        """
        while True:
            for chunk in self._waiting:
                yield chunk
            self._waiting.clear()
            if not await self._more():
                break
        if not self._whole:
            raise InvalidRequest("body: the form ends too early, its last boundary is missing", param="body")

    async def _more(self) -> bool:
        """Read a piece of the body; False at its end."""
        try:
            piece = await anext(self._body, None)
            if piece is None:
                return False
            self._parser.write(piece)
        except ClientDisconnect as error:
            raise Cancelled("the client went away") from error
        except FormParserError as error:
            raise InvalidRequest(f"body: not multipart/form-data: {error}", param="body") from error
        return True

    def _begin(self) -> None:
        self._headers, self._field, self._in_file = {}, None, False
        self._content.clear()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"name", b"").decode(errors="replace")
        if b"filename" in options:
            if self.filename is not None or name != "file":
                raise InvalidRequest.field("file", name, "one file, in the field file")
            self.filename, self._in_file = options[b"filename"].decode(errors="replace"), True
        else:
            self._parts += 1
            if self._parts > _FIELDS:
                raise InvalidRequest(f"body: more than {_FIELDS} fields", param="body")
            self._field = name

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            self._waiting.append(data[start:end])
            return
        self._content += data[start:end]
        if len(self._content) > _FIELD_BYTES:
            raise InvalidRequest(f"{self._field}: longer than {_FIELD_BYTES} bytes", param=self._field)

    def _part_end(self) -> None:
        if self._field is not None:
            self.fields[self._field] = self._content.decode(errors="replace")

    def _finish(self) -> None:
        self._whole = True


async def begin_upload(request: Request) -> Upload:
    """The form of a request, read up to its file.

    Raises:
        UnsupportedMedia: not ``multipart/form-data``.
        InvalidRequest: see `Upload.begin`.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise UnsupportedMedia.field(
            "Content-Type", request.headers.get("content-type"), "multipart/form-data with a boundary"
        )
    upload = Upload(request, options[b"boundary"])
    await upload.begin()
    return upload
