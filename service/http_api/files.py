"""Files, in the shape of OpenAI's API: `client.files` of the unmodified `openai` package works.

Every route needs a key with the scope `train`.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from service.errors import InvalidRequest
from service.files.file_store import UPLOADED, StoredFile
from service.http_api.answers import Deleted, FileObject, Paged
from service.http_api.job_parts import files_of
from service.http_api.multipart import Upload, begin_upload
from service.http_api.paging import page, page_schema, query_integer

router = APIRouter(prefix="/v1/files", tags=["Files"])

_LEAST_LIFETIME_S, _MOST_LIFETIME_S = 3600, 2_592_000
_RANGE = re.compile(r"bytes=(\d{1,15})?-(\d{1,15})?")
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file", "purpose"],
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "purpose": {"type": "string", "enum": [UPLOADED]},
                        "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                        "expires_after[seconds]": {
                            "type": "integer",
                            "minimum": _LEAST_LIFETIME_S,
                            "maximum": _MOST_LIFETIME_S,
                        },
                    },
                }
            }
        },
    }
}


@router.post("", summary="Upload images", openapi_extra=_FORM)
async def upload(request: Request) -> FileObject:
    """Images to fine-tune with: a .zip or .tar with one folder per class or IDX files, .npz, .parquet, WebDataset.

    The answer's `report` says what was found: images, classes, sizes, and what was left out. A file that is refused
    leaves nothing behind. The same content is stored once.
    """
    form = await begin_upload(request)
    assert form.filename is not None
    file = await files_of(request).upload(_checked(form), form.filename, lifetime_s=lambda: _lifetime(form))
    return file_body(file)


@router.get(
    "", summary="List files", openapi_extra=page_schema(10_000, 100, order="asc or desc", purpose="files of it alone")
)
async def list_files(request: Request) -> Paged[FileObject]:
    """Files that have not expired, newest first."""
    order = request.query_params.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest.field("order", order, "asc, desc")
    limit = query_integer(request, "limit", 100, 1, 10_000)

    def read() -> tuple[list[StoredFile], bool]:
        return files_of(request).page(
            purpose=request.query_params.get("purpose"),
            after=request.query_params.get("after"),
            limit=limit,
            oldest_first=order == "asc",
        )

    files, has_more = await asyncio.to_thread(read)
    return page([file_body(file) for file in files], has_more=has_more)


@router.get("/{file_id}", summary="One file")
async def get_file(request: Request, file_id: str) -> FileObject:
    """What is known of a file."""
    return file_body(await asyncio.to_thread(files_of(request).get, file_id))


@router.delete("/{file_id}", summary="Delete a file")
async def delete_file(request: Request, file_id: str) -> Deleted:
    """Delete a file; 409 while a job that is not over reads it."""
    await asyncio.to_thread(files_of(request).delete, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


@router.get("/{file_id}/content", summary="Content of a file", response_class=Response)
async def content(request: Request, file_id: str) -> Response:
    """The bytes of a file; one `Range` of them where it is asked for, so that a download can go on."""
    files = files_of(request)
    file = await asyncio.to_thread(files.get, file_id)
    headers = {
        "ETag": f'"{file.sha256}"',
        "Accept-Ranges": "bytes",
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.filename, safe='')}",
    }
    start, stop, status = 0, file.size, 200
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked and any(asked.groups()) and request.headers.get("if-range", headers["ETag"]) == headers["ETag"]:
        first, last = asked.groups()
        start = int(first) if first else max(0, file.size - int(last))
        stop = min(file.size, int(last) + 1) if first and last else file.size
        if start >= stop:
            return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{file.size}"})
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{file.size}"
    headers["Content-Length"] = str(stop - start)
    pieces = files.content(file, start, stop - start)
    return StreamingResponse(pieces, status, headers, media_type="application/octet-stream")


def file_body(file: StoredFile) -> FileObject:
    """The file object, with our own fields beside OpenAI's."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created_at),
        "expires_at": None if file.expires_at is None else int(file.expires_at),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
        "sha256": file.sha256,
        "job": file.job_id,
        "report": dict(file.report),
    }


async def _checked(form: Upload) -> AsyncIterator[bytes]:
    """The file's bytes; the fields, which may follow them, are checked before anything is kept."""
    _check_purpose(form)
    async for chunk in form.chunks():
        yield chunk
    if "purpose" not in form.fields:
        raise InvalidRequest.field("purpose", None, UPLOADED)
    _check_purpose(form)
    _lifetime(form)


def _check_purpose(form: Upload) -> None:
    if form.fields.get("purpose", UPLOADED) != UPLOADED:
        raise InvalidRequest.field("purpose", form.fields["purpose"], UPLOADED)


def _lifetime(form: Upload) -> float | None:
    """Seconds after which the file expires; None: the server's own."""
    anchor, seconds = form.fields.get("expires_after[anchor]"), form.fields.get("expires_after[seconds]")
    if anchor not in (None, "created_at"):
        raise InvalidRequest.field("expires_after.anchor", anchor, "created_at")
    if seconds is None:
        return None
    if not seconds.isdecimal() or not _LEAST_LIFETIME_S <= int(seconds[:10]) <= _MOST_LIFETIME_S:
        raise InvalidRequest.field(
            "expires_after.seconds", seconds, f"an integer from {_LEAST_LIFETIME_S} to {_MOST_LIFETIME_S}"
        )
    return float(seconds)
