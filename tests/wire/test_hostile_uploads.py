"""Uploads that are meant to harm, against a real server with its default limits: refused with a reason, in bounded
memory and disk, and nothing of them stays."""

import io
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import httpx
import pytest

from runtime.store import DirectoryStore
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2 import FileHeader, UploadFileRequest
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2_grpc import FineTuningStub
from tests.kit.archives import class_folders, png, tar_of, zip_of
from tests.kit.processes import resident_mib, wait_for
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny
from tests.unit.service.files.test_inspector import encrypted, zip_link

MIB = 1 << 20
MOST_RISE_MIB = 64.0


def wide_png(side: int) -> bytes:
    """A black image of side × side pixels in a few kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)
    pixels = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def bomb() -> bytes:
    """A gibibyte of zeros in a megabyte."""
    file = io.BytesIO()
    archive = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9)
    with archive, archive.open("3/a.png", "w", force_zip64=True) as member:
        for _ in range(1024):
            member.write(bytes(MIB))
    return file.getvalue()


def crowd(count: int = 100_000) -> bytes:
    """An archive of so many empty members."""
    return zip_of({f"3/{number}.png": b"" for number in range(count)})


HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "zip bomb": ("a.zip", bomb, "larger than 64 MiB"),
    "parent path": ("a.zip", lambda: zip_of({"../../evil.png": png()}), "points outside"),
    "absolute path": ("a.tar", lambda: tar_of({"/etc/evil.png": png()}), "points outside"),
    "symlink": ("a.zip", zip_link, "a link or a device"),
    "100,000 members": ("a.zip", crowd, "more than 80,000 members"),
    "truncated": ("a.zip", lambda: zip_of(class_folders(20))[:-300], "damaged"),
    "encrypted": ("a.zip", encrypted, "encrypted"),
    "not an image": ("a.zip", lambda: zip_of({"3/a.png": b"hello", "7/b.png": b"hello"}), "not an image"),
    "a huge image": ("a.zip", lambda: zip_of({"3/a.png": wide_png(30_000)}), "sides up to 4096"),
    "wrong extension": ("a.tar", lambda: zip_of(class_folders()), "its name ends in '.tar'"),
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that nobody else uploads to."""
    root = tmp_path_factory.mktemp("hostile")
    store = DirectoryStore(root / "models")
    publish_tiny(store, precisions=("fp32",))
    with running_server(store.root, root / "state", "--job-slots", "0") as server:
        assert upload(server, "good.zip", zip_of(class_folders(10))).status_code == 200  # memory is measured after it
        yield server


def upload(server: ServerProcess, name: str, content: bytes) -> httpx.Response:
    return httpx.post(
        f"{server.http}/v1/files", files={"file": (name, content)}, data={"purpose": "fine-tune"}, timeout=120
    )


def on_disk(state: Path) -> int:
    """Bytes below the folder of files."""
    total = 0
    for path in (state / "files").rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total


@contextmanager
def watched(server: ServerProcess) -> Iterator[list[tuple[float, int]]]:
    """Memory (MiB) and bytes on the disk, looked at again and again."""
    seen, over = [(resident_mib(server.pid), on_disk(server.log.parent))], threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            seen.append((resident_mib(server.pid), on_disk(server.log.parent)))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("case", HOSTILE)
def test_it_is_refused_and_leaves_nothing(alone: ServerProcess, case: str) -> None:
    name, make, words = HOSTILE[case]
    content, kept = make(), on_disk(alone.log.parent)
    with watched(alone) as seen:
        answer = upload(alone, name, content)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "file")
    assert words in answer.json()["error"]["message"], answer.text
    assert max(memory for memory, _ in seen) - seen[0][0] < MOST_RISE_MIB
    assert max(disk for _, disk in seen) - kept <= len(content)  # the upload itself; nothing is unpacked
    wait_for(lambda: on_disk(alone.log.parent) == kept, what="the end of what was uploaded")
    assert list((alone.log.parent / "files" / ".incoming").iterdir()) == []
    assert len(httpx.get(f"{alone.http}/v1/files").json()["data"]) == 1


def test_the_same_reason_over_grpc(alone: ServerProcess) -> None:
    name, make, words = HOSTILE["parent path"]
    messages = [UploadFileRequest(header=FileHeader(filename=name)), UploadFileRequest(content=make())]
    with grpc.insecure_channel(alone.grpc) as channel, pytest.raises(grpc.RpcError, match=words) as caught:
        FineTuningStub(channel).UploadFile(iter(messages))
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
