"""Messages that are broken, or right and senseless, to every gRPC method: never UNKNOWN, never INTERNAL."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from runtime.store import DirectoryStore
from tests.kit.proto_modules import all_methods
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny

FORBIDDEN = {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS}
METHODS = all_methods()
TEXTS = ["", "tiny", "tiny@1", "tiny@99", "nothing", "seed", "label", "latents", "UINT64", "FP32", "ä" * 50, "x" * 5000]
INTEGERS = [0, 1, 2, 3, -1, 5, 257, 2**31, 2**53 - 1, 2**53, 2**62]
FLOATS = [0.0, 0.5, 1.0, -1.0, 2.0, float("nan"), float("inf"), 1e38]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    root: Path = tmp_path_factory.mktemp("fuzz")
    publish_tiny(DirectoryStore(root / "models"), "tiny", precisions=("fp32",))
    with running_server(root / "models", root / "state", "--max-images", "256") as process:
        yield process


def senseless(kind: Any, draw: random.Random, depth: int = 0) -> Message:
    """A well-formed message with values that a client might send by mistake."""
    message: Message = GetMessageClass(kind)()
    for field in kind.fields:
        if draw.random() < 0.4 or depth > 3:
            continue
        count = draw.choice([1, 1, 2, 5]) if field.is_repeated else 1
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"]
            for _ in range(count):
                entries, key = getattr(message, field.name), draw.choice(TEXTS)
                if inner.message_type is None:
                    entries[key] = scalar(inner, draw)
                else:
                    entries[key].MergeFrom(senseless(inner.message_type, draw, depth + 1))
        elif field.message_type is not None:
            for _ in range(count):
                inner_message = senseless(field.message_type, draw, depth + 1)
                target = getattr(message, field.name)
                (target.add() if field.is_repeated else target).MergeFrom(inner_message)
        else:
            values = [scalar(field, draw) for _ in range(count)]
            if field.is_repeated:
                getattr(message, field.name).extend(values)
            else:
                setattr(message, field.name, values[0])
    return message


def scalar(field: FieldDescriptor, draw: random.Random) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return (
            draw.choice(TEXTS) if field.type == FieldDescriptor.TYPE_STRING else draw.randbytes(draw.choice([0, 8, 99]))
        )
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return draw.choice([0, 1, 2, 3, 99])
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return draw.random() < 0.5
    if field.cpp_type in (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE):
        return draw.choice(FLOATS)
    unsigned = field.cpp_type in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
    narrow = field.cpp_type in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_INT32)
    value = draw.choice(INTEGERS)
    return (abs(value) if unsigned else value) % 2**31 if narrow or (unsigned and value < 0) else value


def broken(content: bytes, draw: random.Random) -> bytes:
    """Bytes near those of a message: flipped, cut, doubled, or quite others."""
    way = draw.randrange(5)
    if way == 0 or not content:
        return draw.randbytes(draw.choice([1, 3, 20, 500]))
    if way == 1:
        return content[: draw.randrange(len(content))]
    if way == 2:
        return content + draw.randbytes(draw.randrange(1, 9))
    changed = bytearray(content)
    for _ in range(draw.choice([1, 1, 3, 10])):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def fuzz(server: ServerProcess, messages: int, seed: int) -> Counter[grpc.StatusCode]:
    """Send `messages`, a third of them well-formed; returns how often each status came."""
    draw, found = random.Random(seed), Counter[grpc.StatusCode]()
    with grpc.insecure_channel(server.grpc) as opened:
        channel: Any = opened  # whose stubs want serializers for calls that take and yield bytes
        for number in range(messages):
            method = draw.choice(METHODS)
            content = senseless(method.input_type, draw).SerializeToString()
            if number % 3:
                content = broken(content, draw)
            # A stream of one is what a single message is on the wire, and takes any number of answers.
            call = channel.stream_stream(f"/{method.containing_service.full_name}/{method.name}")
            try:
                for _ in call(iter([content]), timeout=20):
                    pass
                code = grpc.StatusCode.OK
            except grpc.RpcError as error:
                code = error.code()
                assert code not in FORBIDDEN, (method.full_name, content, error.details())
            found[code] += 1
    return found


def resident_kb(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1])


@pytest.mark.parametrize("messages", [600, pytest.param(10_000, marks=pytest.mark.slow)])
def test_no_message_is_answered_with_an_error_of_ours(server: ServerProcess, messages: int) -> None:
    fuzz(server, 300, seed=0)
    reload_all(server)
    before = resident_kb(server)
    found = fuzz(server, messages, seed=1)
    reload_all(server)
    assert sum(found.values()) == messages
    assert found[grpc.StatusCode.OK] > messages // 50, "some of it made sense"
    assert found[grpc.StatusCode.INVALID_ARGUMENT] > messages // 5
    assert httpx.post(f"{server.http}/v1/samples", json={"model": "tiny", "n": 4}).status_code == 200
    assert resident_kb(server) - before < 30_000
    assert "Traceback" not in server.log.read_text()


def reload_all(server: ServerProcess) -> None:
    """The fuzz may have unloaded the model."""
    assert httpx.post(f"{server.http}/v2/repository/models/tiny/load").status_code == 200
