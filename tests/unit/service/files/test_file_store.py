"""Files over both databases: kept once, found again, refused without a trace, deleted when they may be."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from service.database.database import Database
from service.database.tables import FILES
from service.errors import Conflict, InvalidRequest, NotFound, TooLarge
from service.errors import DiskFull as NoRoom
from service.files.blobs import DirectoryBlobs
from service.files.file_store import FileRules, FileStore, StoredFile
from service.files.limits import FileLimits
from service.jobs.store import JobStore
from tests.kit.archives import class_folders, zip_of

LIMITS = FileLimits(bytes=1 << 20)


@pytest.fixture
def blobs(tmp_path: Path) -> DirectoryBlobs:
    return DirectoryBlobs(tmp_path / "files")


@pytest.fixture
def files(database: Database, blobs: DirectoryBlobs) -> FileStore:
    return FileStore(database, blobs, blobs.incoming, FileRules(LIMITS, lifetime_s=3600.0, reserve_bytes=0))


async def pieces(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def upload(files: FileStore, content: bytes, name: str = "images.zip") -> StoredFile:
    return await files.upload(pieces(content), name)


def on_disk(blobs: DirectoryBlobs) -> list[Path]:
    return [path for path in blobs.incoming.parent.rglob("*") if path.is_file()]


async def test_a_file_comes_back_as_it_was_sent(files: FileStore) -> None:
    content = zip_of(class_folders())
    file = await upload(files, content, "C:\\my images\\images.zip")
    assert (file.filename, file.size, file.purpose) == ("images.zip", len(content), "fine-tune")
    assert file.report["classes"] == {"3": 5, "7": 5}
    assert b"".join(files.content(file)) == content
    assert b"".join(files.content(file, 10, 20)) == content[10:30]
    assert files.get(file.id) == file
    assert file.expires_at == pytest.approx(file.created_at + 3600)


async def test_the_same_content_is_kept_once_and_as_long_as_anybody_has_it(
    files: FileStore, blobs: DirectoryBlobs
) -> None:
    content = zip_of(class_folders())
    made = await asyncio.gather(*(upload(files, content) for _ in range(4)))
    assert len({file.id for file in made}) == 4
    assert len(on_disk(blobs)) == 1
    for file in made[:-1]:
        files.delete(file.id)
    assert b"".join(files.content(made[-1])) == content
    files.delete(made[-1].id)
    assert on_disk(blobs) == []
    with pytest.raises(NotFound):
        files.get(made[-1].id)


async def test_what_is_refused_leaves_nothing(files: FileStore, blobs: DirectoryBlobs) -> None:
    for content, name, kind, words in (
        (b"junk", "a.zip", InvalidRequest, "'a.zip' is refused: its content is of no known kind"),
        (b"", "a.zip", InvalidRequest, "got no bytes"),
        (bytes(LIMITS.bytes + 1), "a.zip", TooLarge, "over 1048576 bytes"),
        (b"x", "\n", InvalidRequest, "printable"),
        (b"x", "x" * 256, InvalidRequest, "printable"),
    ):
        with pytest.raises(kind, match=words):
            await upload(files, content, name)
    assert on_disk(blobs) == []
    assert list(blobs.incoming.iterdir()) == []
    assert files.page() == ([], False)


async def test_an_upload_that_breaks_off_leaves_nothing(files: FileStore, blobs: DirectoryBlobs) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"PK" * 1_000_000
        raise ConnectionResetError

    generous = FileStore(files.database, blobs, blobs.incoming, FileRules(FileLimits(), None, 0))
    with pytest.raises(ConnectionResetError):
        await generous.upload(broken(), "a.zip")
    assert list(blobs.incoming.iterdir()) == []


async def test_a_disk_that_would_be_full_is_said_to_come_back(files: FileStore, blobs: DirectoryBlobs) -> None:
    greedy = FileStore(files.database, blobs, blobs.incoming, FileRules(LIMITS, None, reserve_bytes=1 << 60))
    with pytest.raises(NoRoom, match="full") as caught:
        await upload(greedy, zip_of(class_folders()))
    assert caught.value.retry_after_s > 0
    assert on_disk(blobs) == []


async def test_a_file_that_a_job_reads_stays_until_the_job_is_over(files: FileStore, database: Database) -> None:
    file = await upload(files, zip_of(class_folders()))
    jobs = JobStore(database)
    job = jobs.create("fine_tuning", {}, files=[file.id])
    with pytest.raises(Conflict, match=job.id):
        files.delete(file.id)
    _let_expire(database, file)
    assert files.expire() == 0
    assert b"".join(files.content(file))
    jobs.cancel(job.id, "fine_tuning")
    assert files.expire() == 1
    with pytest.raises(FileNotFoundError):
        b"".join(files.content(file))


async def test_expired_files_are_not_there(files: FileStore, database: Database, blobs: DirectoryBlobs) -> None:
    file, other = await upload(files, zip_of(class_folders(3))), await upload(files, zip_of(class_folders(4)))
    _let_expire(database, file)
    with pytest.raises(NotFound):
        files.get(file.id)
    assert [found.id for found in files.page()[0]] == [other.id]
    assert files.expire() == 1
    assert len(on_disk(blobs)) == 1


async def test_pages(files: FileStore) -> None:
    content = zip_of(class_folders(2))
    made = [(await upload(files, content)).id for _ in range(5)]
    first, more = files.page(limit=2)
    assert ([file.id for file in first], more) == (made[:2:-1], True)
    rest, more = files.page(after=first[-1].id, limit=3)
    assert ([file.id for file in rest], more) == (made[2::-1], False)
    assert [file.id for file in files.page(oldest_first=True)[0]] == made
    assert files.page(purpose="dataset")[0] == []


async def test_what_a_job_made_is_kept_once_however_often_it_is_published(files: FileStore, tmp_path: Path) -> None:
    part = tmp_path / "train-000000.tar"
    part.write_bytes(b"a data set")
    first = files.keep(part, part.name, {"model": "tiny@1"}, "dataset-1")
    assert files.keep(part, part.name, {"model": "tiny@1"}, "dataset-1") == first
    assert files.keep(part, part.name, {"model": "tiny@1"}, "dataset-2").id != first.id
    assert (first.purpose, first.job_id, part.read_bytes()) == ("dataset", "dataset-1", b"a data set")


async def test_contents_that_a_crash_left_are_swept(files: FileStore, blobs: DirectoryBlobs) -> None:
    kept = await upload(files, zip_of(class_folders()))
    orphan = blobs.incoming / "orphan"
    orphan.write_bytes(b"x")
    blobs.adopt(orphan, "ab" * 32)
    half = blobs.incoming / "half"
    half.mkdir()
    for path in _everything(blobs):
        os.utime(path, (1.0, 1.0))
    assert files.sweep(3600.0) == 1
    assert [path.name for path in on_disk(blobs)] == [kept.sha256]
    assert not half.exists()


def _everything(blobs: DirectoryBlobs) -> Iterator[Path]:
    yield from blobs.incoming.parent.rglob("*")


def _let_expire(database: Database, file: StoredFile) -> None:
    with database.writing() as connection:
        connection.execute(update(FILES).where(FILES.c.id == file.id).values(expires_at=1.0))
