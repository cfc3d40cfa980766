"""Files by id: a row in the database, the content in the blob store. Methods block, but for `upload`."""

import asyncio
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, insert, select

from service.database.database import Database
from service.database.tables import FILE_USES, FILES
from service.errors import Conflict, InvalidRequest, NotFound
from service.files.blobs import BlobStore, incoming_folder
from service.files.inspection import look_into
from service.files.limits import FileLimits
from service.files.receiving import Received, full_disk_foreseen, receive

UPLOADED, MADE = "fine-tune", "dataset"
"""Purposes: images that a client sent, a part of a data set that a job made."""

_COLUMNS = list(FILES.c)
_PIECE = 1 << 20
_INSPECTED_AT_ONCE = 2  # others wait: each takes a core and some memory


@dataclass(frozen=True)
class StoredFile:
    """A file.

    Attributes:
        size: bytes.
        report: what was found in an upload (`service.files.findings.Findings`); of others what their job says.
        expires_at: seconds since the epoch; None: never.
        job_id: what made it; None for uploads.
    """

    number: int
    id: str
    filename: str
    purpose: str
    size: int
    sha256: str
    report: Mapping[str, Any]
    created_at: float
    expires_at: float | None
    job_id: str | None


@dataclass(frozen=True)
class FileRules:
    """How files are kept.

    Attributes:
        lifetime_s: of a file whose client says nothing; None: for ever.
        reserve_bytes: of the disk stay free.
    """

    limits: FileLimits
    lifetime_s: float | None
    reserve_bytes: int


class FileStore:
    """See the module's docstring."""

    def __init__(self, database: Database, blobs: BlobStore, incoming: Path, rules: FileRules) -> None:
        """`incoming`: a folder for what is being received, on the file system of a directory store."""
        self.database = database
        self.blobs = blobs
        self.rules = rules
        self._incoming = incoming
        self._inspectors = ThreadPoolExecutor(_INSPECTED_AT_ONCE, thread_name_prefix="inspect")

    async def upload(
        self,
        chunks: AsyncIterator[bytes],
        filename: str,
        *,
        lifetime_s: Callable[[], float | None] = lambda: None,
    ) -> StoredFile:
        """Receive, look into and keep a file. It exists once this returns, and not at all if it does not.

        Args:
            lifetime_s: asked when all chunks have come; the file expires after it, None: after the server's own.

        Raises:
            InvalidRequest, TooLarge: it is refused, with the reason.
            StorageUnavailable: it cannot be stored now (`DiskFull`: for want of room).
        """
        name = _plain_name(filename)
        with full_disk_foreseen(), incoming_folder(self._incoming, secrets.token_hex(8)) as folder:
            received = await receive(
                chunks, folder / "content", limit=self.rules.limits.bytes, reserve=self.rules.reserve_bytes
            )
            inspect = partial(look_into, received.path, name, self.rules.limits)
            findings = await asyncio.get_running_loop().run_in_executor(self._inspectors, inspect)
            report = findings.model_dump(mode="json")
            keep = partial(self._keep, received, name, purpose=UPLOADED, report=report)
            return await asyncio.to_thread(keep, lifetime_s=lifetime_s() or self.rules.lifetime_s)

    def keep(self, path: Path, filename: str, report: Mapping[str, Any], job_id: str) -> StoredFile:
        """Keep a file that a job made, once: a second time finds the first. The file itself stays where it is.

        Raises:
            StorageUnavailable: it cannot be stored now (`DiskFull`: for want of room).
        """
        with self.database.reading() as connection:
            query = select(*_COLUMNS).where(FILES.c.job_id == job_id, FILES.c.filename == filename)
            row = connection.execute(query).one_or_none()
        if row is not None:
            return _file(row)
        with full_disk_foreseen(), incoming_folder(self._incoming, secrets.token_hex(8)) as folder:
            received = _copy(path, folder / "content")
            lifetime_s = self.rules.lifetime_s
            return self._keep(received, filename, purpose=MADE, report=report, lifetime_s=lifetime_s, job_id=job_id)

    def get(self, file_id: str) -> StoredFile:
        """The file called `file_id`.

        Raises:
            NotFound: there is none, or it has expired.
        """
        with self.database.reading() as connection:
            return self._read(connection, file_id)

    def page(
        self, *, purpose: str | None = None, after: str | None = None, limit: int = 100, oldest_first: bool = False
    ) -> tuple[list[StoredFile], bool]:
        """Files, newest first unless told otherwise, from the one behind `after` on; and whether there are more."""
        query = select(*_COLUMNS).limit(limit + 1)
        query = query.order_by(FILES.c.number if oldest_first else FILES.c.number.desc())
        if purpose is not None:
            query = query.where(FILES.c.purpose == purpose)
        with self.database.reading() as connection:
            now = self.database.now(connection)
            query = query.where((FILES.c.expires_at.is_(None)) | (FILES.c.expires_at > now))
            if after is not None:
                number = connection.execute(select(FILES.c.number).where(FILES.c.id == after)).scalar_one_or_none()
                if number is None:
                    raise InvalidRequest.field("after", after, "the id of a file of the list")
                query = query.where(FILES.c.number > number if oldest_first else FILES.c.number < number)
            files = [_file(row) for row in connection.execute(query)]
        return files[:limit], len(files) > limit

    def content(self, file: StoredFile, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """The bytes of a file, in pieces."""
        return self.blobs.read(file.sha256, start, length)

    def delete(self, file_id: str) -> None:
        """Delete a file.

        Raises:
            NotFound: there is none.
            Conflict: a job that is not over reads it.
        """

        def work(connection: Connection) -> str:
            file = self._read(connection, file_id, lock=True)
            job = connection.execute(select(FILE_USES.c.job_id).where(FILE_USES.c.file_id == file_id)).first()
            if job is not None:
                raise Conflict(f"file: {file_id} is read by {job.job_id}; allowed: delete it when that is over")
            connection.execute(delete(FILES).where(FILES.c.id == file_id))
            return file.sha256

        self.drop([self.database.write(work)])

    def expire(self) -> int:
        """Delete the files whose time is over and that no job reads; returns their number."""

        def work(connection: Connection) -> list[str]:
            now = self.database.now(connection)
            used = exists().where(FILE_USES.c.file_id == FILES.c.id)
            query = select(FILES.c.id, FILES.c.sha256).where(FILES.c.expires_at <= now, ~used).limit(100)
            rows = connection.execute(query.with_for_update(skip_locked=True)).all()
            connection.execute(delete(FILES).where(FILES.c.id.in_([row.id for row in rows])))
            return [row.sha256 for row in rows]

        digests = self.database.write(work)
        self.drop(digests)
        return len(digests)

    def drop(self, digests: Iterable[str]) -> int:
        """Delete those contents that no file has any more; returns their number.

        The rows are gone before their contents are: a crash between the two leaves a content without a file, which
        `sweep` finds, and never a file without its content.
        """
        count = 0
        for digest in dict.fromkeys(digests):

            def work(connection: Connection, digest: str = digest) -> bool:
                self.database.lock(connection, _lock_number(digest))
                if connection.execute(select(exists().where(FILES.c.sha256 == digest))).scalar_one():
                    return False
                self.blobs.delete(digest)
                return True

            count += self.database.write(work)
        return count

    def sweep(self, older_than_s: float) -> int:
        """Delete contents without a file, and halves of uploads, that have been here for longer; returns the former's
        number."""
        before = time.time() - older_than_s
        for folder in self._incoming.iterdir():
            if folder.stat().st_mtime < before:
                shutil.rmtree(folder, ignore_errors=True)
        return self.drop(self.blobs.older_than(older_than_s))

    def _keep(
        self,
        received: Received,
        filename: str,
        *,
        purpose: str,
        report: Mapping[str, Any],
        lifetime_s: float | None,
        job_id: str | None = None,
    ) -> StoredFile:
        def work(connection: Connection) -> StoredFile:
            # Whoever deletes this content holds the same lock: it is either gone before, and comes anew, or stays.
            self.database.lock(connection, _lock_number(received.sha256))
            now = self.database.now(connection)
            if received.path.exists():  # not where an earlier try of this very function adopted it
                self.blobs.adopt(received.path, received.sha256)
            values = {
                "id": f"file-{secrets.token_hex(12)}",
                "filename": filename,
                "purpose": purpose,
                "size": received.size,
                "sha256": received.sha256,
                "report": dict(report),
                "created_at": now,
                "expires_at": None if lifetime_s is None else now + lifetime_s,
                "job_id": job_id,
            }
            return _file(connection.execute(insert(FILES).values(values).returning(*_COLUMNS)).one())

        return self.database.write(work)

    def _read(self, connection: Connection, file_id: str, *, lock: bool = False) -> StoredFile:
        query = select(*_COLUMNS).where(FILES.c.id == file_id)
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
        if row is None or (row.expires_at is not None and row.expires_at <= self.database.now(connection)):
            raise NotFound(f"file: got {file_id!r:.80}; allowed: the id of a file of this server", param="file")
        return _file(row)


def _copy(source: Path, target: Path) -> Received:
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as file, target.open("xb") as copy:
        while piece := file.read(_PIECE):
            digest.update(piece)
            size += len(piece)
            copy.write(piece)
        copy.flush()
        os.fsync(copy.fileno())
    return Received(target, size, digest.hexdigest())


def _plain_name(filename: str) -> str:
    """The last part of what a client calls its file."""
    name = filename.replace("\\", "/").rpartition("/")[2]
    name = "".join(letter for letter in name if letter.isprintable()).strip()
    if not name or len(name) > 255:
        raise InvalidRequest.field("file.filename", filename, "1 to 255 printable characters")
    return name


def _lock_number(digest: str) -> int:
    return int(digest[:15], 16)


def _file(row: Row[Any]) -> StoredFile:
    return StoredFile(**row._mapping)
