"""Contents by digest: one contract over a directory, an object store in memory, and an S3-compatible server."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from service.files.blobs import BlobStore, DirectoryBlobs
from service.files.object_blobs import ObjectBlobs
from service.settings import SettingsError


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The URL of a bucket of an S3-compatible server on this machine."""
    if find_spec("moto") is None or find_spec("s3fs") is None or find_spec("flask") is None:
        pytest.skip("needs s3fs and moto[server]")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    before = dict(os.environ)
    os.environ |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    import s3fs

    s3fs.S3FileSystem().mkdir("latentd")
    yield "s3://latentd"
    server.stop()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(params=["directory", "memory", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    if request.param == "directory":
        return DirectoryBlobs(tmp_path / "files")
    if request.param == "memory":
        return ObjectBlobs(f"memory://{uuid.uuid4().hex}/files")
    return ObjectBlobs(f"{request.getfixturevalue('s3')}/{uuid.uuid4().hex}")


def put(blobs: BlobStore, folder: Path, content: bytes) -> str:
    path = folder / uuid.uuid4().hex
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    blobs.adopt(path, digest)
    assert not path.exists()
    return digest


def test_what_was_kept_comes_back_whole_and_in_parts(blobs: BlobStore, tmp_path: Path) -> None:
    content = bytes(range(256)) * 20_000
    digest = put(blobs, tmp_path, content)
    assert b"".join(blobs.read(digest)) == content
    assert b"".join(blobs.read(digest, 1000, 300)) == content[1000:1300]
    assert b"".join(blobs.read(digest, len(content) - 5)) == content[-5:]
    local = blobs.local(digest, tmp_path)
    assert local.read_bytes() == content
    assert blobs.local(digest, tmp_path) == local


def test_the_same_content_again_changes_nothing(blobs: BlobStore, tmp_path: Path) -> None:
    digest = put(blobs, tmp_path, b"same")
    assert put(blobs, tmp_path, b"same") == digest
    assert b"".join(blobs.read(digest)) == b"same"


def test_what_was_deleted_is_gone(blobs: BlobStore, tmp_path: Path) -> None:
    digest = put(blobs, tmp_path, b"short-lived")
    blobs.delete(digest)
    blobs.delete(digest)
    with pytest.raises(FileNotFoundError):
        b"".join(blobs.read(digest))
    with pytest.raises(FileNotFoundError):
        blobs.local(digest, tmp_path)


def test_old_contents_are_told(blobs: BlobStore, tmp_path: Path) -> None:
    assert list(blobs.older_than(-3600.0)) == []
    made = {put(blobs, tmp_path, bytes([number])) for number in range(3)}
    assert set(blobs.older_than(-3600.0)) == made
    assert set(blobs.older_than(3600.0)) == set()


@pytest.mark.parametrize("url", ["nothing://bucket", "s3://"])
def test_a_store_that_cannot_be_says_so(url: str) -> None:
    with pytest.raises(SettingsError, match="setting file_store: "):
        ObjectBlobs(url)
