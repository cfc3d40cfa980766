"""Files over the wire: by the unmodified `openai` package, by plain HTTP, by gRPC."""

import io
import json
from collections.abc import Iterator

import grpc
import httpx
import openai
import pytest

from service.grpc_api._generated.latentd_v1_fine_tuning_pb2 import FileHeader, UploadFileRequest
from service.grpc_api._generated.latentd_v1_fine_tuning_pb2_grpc import FineTuningStub
from tests.kit.archives import class_folders, zip_of
from tests.kit.server import ServerProcess

CONTENT = zip_of(class_folders(10))


@pytest.fixture
def client(server: ServerProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.http}/v1", api_key="none", max_retries=0) as opened:
        yield opened


def test_the_openai_client_uploads_lists_reads_and_deletes(client: openai.OpenAI) -> None:
    file = client.files.create(file=("digits.zip", CONTENT), purpose="fine-tune")
    assert (file.filename, file.bytes, file.status, file.purpose) == (
        "digits.zip",
        len(CONTENT),
        "processed",
        "fine-tune",
    )
    assert file.model_extra is not None
    assert file.model_extra["report"]["classes"] == {"3": 10, "7": 10}
    assert file.id in [listed.id for listed in client.files.list(limit=1)]
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == CONTENT
    assert client.files.wait_for_processing(file.id).id == file.id
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError, match=file.id):
        client.files.retrieve(file.id)


def test_a_file_expires_when_its_client_says(client: openai.OpenAI) -> None:
    file = client.files.create(
        file=("a.zip", CONTENT), purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 7200}
    )
    assert file.expires_at is not None
    assert file.expires_at - file.created_at == 7200
    client.files.delete(file.id)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"file": ("a.zip", b"junk"), "purpose": "fine-tune"}, "'a.zip' is refused"),
        ({"file": ("a.zip", CONTENT), "purpose": "batch"}, "purpose: got 'batch'; allowed: fine-tune"),
        (
            {
                "file": ("a.zip", CONTENT),
                "purpose": "fine-tune",
                "expires_after": {"anchor": "created_at", "seconds": 1},
            },
            "3600 to 2592000",
        ),
    ],
)
def test_refusals_name_the_field(client: openai.OpenAI, arguments: dict[str, object], words: str) -> None:
    before = [file.id for file in client.files.list()]
    with pytest.raises(openai.BadRequestError, match=words):
        client.files.create(**arguments)  # type: ignore[arg-type]
    assert [file.id for file in client.files.list()] == before


def test_pages_go_through_everything_once(client: openai.OpenAI) -> None:
    made = [client.files.create(file=("a.zip", CONTENT), purpose="fine-tune").id for _ in range(5)]
    listed = [file.id for file in client.files.list(limit=2)]
    assert [file_id for file_id in listed if file_id in made] == made[::-1]
    assert len(set(listed)) == len(listed)
    for file_id in made:
        client.files.delete(file_id)


def test_a_download_goes_on_where_it_broke_off(http: httpx.Client) -> None:
    file = http.post("/v1/files", files={"file": ("a.zip", CONTENT)}, data={"purpose": "fine-tune"}).json()
    path = f"/v1/files/{file['id']}/content"
    whole = http.get(path)
    assert whole.headers["etag"] == f'"{file["sha256"]}"'
    rest = http.get(path, headers={"Range": "bytes=100-"})
    assert (rest.status_code, rest.content) == (206, CONTENT[100:])
    assert rest.headers["content-range"] == f"bytes 100-{len(CONTENT) - 1}/{len(CONTENT)}"
    assert http.get(path, headers={"Range": "bytes=-7"}).content == CONTENT[-7:]
    assert http.get(path, headers={"Range": "bytes=5-9"}).content == CONTENT[5:10]
    assert http.get(path, headers={"Range": f"bytes={len(CONTENT)}-"}).status_code == 416
    assert http.get(path, headers={"Range": "bytes=0-9", "If-Range": '"other"'}).content == CONTENT
    http.delete(f"/v1/files/{file['id']}")


def multipart(*parts: tuple[str, bytes], end: bytes = b"--b--\r\n") -> bytes:
    return (
        b"".join(b"--b\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (h.encode(), c) for h, c in parts) + end
    )


FILE, PURPOSE = ('name="file"; filename="a.zip"', CONTENT), ('name="purpose"', b"fine-tune")


def test_fields_may_follow_the_file(http: httpx.Client) -> None:
    answer = http.post(
        "/v1/files", content=multipart(FILE, PURPOSE), headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 200, answer.text
    http.delete(f"/v1/files/{answer.json()['id']}")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "got no file"),
        (b"nonsense", "not multipart/form-data"),
        (multipart(PURPOSE), "got no file"),
        (multipart(FILE), "purpose: got None"),
        (multipart(FILE, PURPOSE, end=b""), "ends too early"),
        (multipart(('name="file"; filename="a.zip"', b"x"), FILE), "one file"),
        (multipart(('name="other"; filename="a.zip"', b"x")), "in the field file"),
        (multipart(*[('name="x"', b"y")] * 21, FILE), "more than 20 fields"),
        (multipart(('name="purpose"', b"x" * 5000), FILE), "longer than 4096"),
        (multipart(('name="' + "x" * 9000 + '"', b""), FILE), "Maximum header size exceeded"),
    ],
)
def test_broken_forms_are_refused(http: httpx.Client, body: bytes, words: str) -> None:
    answer = http.post("/v1/files", content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})
    assert (answer.status_code, words in answer.text) == (400, True), answer.text


def test_another_content_type_is_refused(http: httpx.Client) -> None:
    assert http.post("/v1/files", json={}).status_code == 415


def test_a_file_beyond_the_body_limit_of_other_routes_is_taken(http: httpx.Client) -> None:
    members = {**class_folders(3), "3/notes.txt": bytes(range(256)) * (17 << 12)}  # 17 MiB, over --max-body-bytes
    large = zip_of(members)
    answer = http.post("/v1/files", files={"file": ("a.zip", large)}, data={"purpose": "fine-tune"})
    assert (answer.status_code, answer.json()["bytes"]) == (200, len(large)), answer.text
    http.delete(f"/v1/files/{answer.json()['id']}")


def test_an_upload_over_grpc(channel: grpc.Channel, http: httpx.Client) -> None:
    def messages(name: str, content: bytes) -> Iterator[UploadFileRequest]:
        yield UploadFileRequest(header=FileHeader(filename=name, expires_after_seconds=3600))
        source = io.BytesIO(content)
        while piece := source.read(1000):
            yield UploadFileRequest(content=piece)

    stub = FineTuningStub(channel)
    file = stub.UploadFile(messages("digits.zip", CONTENT))
    assert json.loads(file.report_json)["images"] == 20
    assert file.expires_at - file.created_at == 3600
    assert http.get(f"/v1/files/{file.id}/content").content == CONTENT
    for wrong in (messages("a.zip", b"junk"), iter([]), iter([UploadFileRequest(content=b"x")])):
        with pytest.raises(grpc.RpcError) as caught:
            stub.UploadFile(wrong)
        assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    http.delete(f"/v1/files/{file.id}")


def test_what_is_not_there_is_404(http: httpx.Client) -> None:
    for answer in (http.get("/v1/files/file-0"), http.delete("/v1/files/file-0"), http.get("/v1/files/file-0/content")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert http.get("/v1/files", params={"limit": "0"}).status_code == 400
    assert http.get("/v1/files", params={"order": "up"}).status_code == 400
    assert http.get("/v1/files", params={"after": "file-0"}).status_code == 400
