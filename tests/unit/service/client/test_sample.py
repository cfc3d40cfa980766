"""`latentd sample` and its transports against a real server."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from runtime.store import DirectoryStore
from service.client.cli import sample
from service.client.connection import Connection
from service.client.transports import ClientError, GrpcTransport, HttpTransport, SampleOptions
from tests.kit.server import ServerProcess, running_server


@pytest.fixture(scope="module")
def server(shared_store: DirectoryStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with running_server(
        shared_store.root, tmp_path_factory.mktemp("state"), "--default-model", "tiny", "--drain-notice-seconds", "0"
    ) as server:
        yield server


def run(*args: str) -> Result:
    return CliRunner().invoke(sample, args, catch_exceptions=False)


def test_both_transports_yield_the_same_pixels(server: ServerProcess) -> None:
    options = SampleOptions(model="tiny@1", truncation=0.5, precision="fp32")
    by_http = HttpTransport(Connection(server.http + "/")).sample(5, 3, ["1", "2", "3"], options)
    by_grpc = GrpcTransport(Connection("", server.grpc)).sample(5, 3, ["1", "2", "3"], options)
    assert by_http.shape == (3, 8, 8, 1)
    np.testing.assert_array_equal(by_http, by_grpc)


def test_a_refusal_is_told_in_the_servers_words(server: ServerProcess) -> None:
    with pytest.raises(ClientError, match=r"answered 400: labels: got 'cat'; allowed: class names"):
        HttpTransport(Connection(server.http)).sample(0, 1, ["cat"], SampleOptions())
    with pytest.raises(ClientError, match=r"answered INVALID_ARGUMENT: labels: got 'cat'; allowed: class names"):
        GrpcTransport(Connection("", server.grpc)).sample(0, 1, ["cat"], SampleOptions())
    with pytest.raises(ClientError, match=r"precision: got 'fp64'; allowed: auto, fp32, fp16, int8"):
        GrpcTransport(Connection("", server.grpc)).sample(0, 1, None, SampleOptions(precision="fp64"))
    for transport in (HttpTransport(Connection(server.http)), GrpcTransport(Connection("", server.grpc))):
        with pytest.raises(ClientError, match=f"seed: got {2**70}; allowed: integers from 0 to"):
            transport.sample(2**70, 1, None, SampleOptions())


def test_where_no_server_is_the_message_says_so() -> None:
    with pytest.raises(ClientError, match=r"no answer from http://127\.0\.0\.1:9: .*Is `latentd serve` running there"):
        HttpTransport(Connection("http://127.0.0.1:9")).sample(0, 1, None, SampleOptions())
    with pytest.raises(ClientError, match=r"127\.0\.0\.1:9 answered UNAVAILABLE"):
        GrpcTransport(Connection("", "127.0.0.1:9")).sample(0, 1, None, SampleOptions())


def test_one_row_of_the_grid_for_each_label(server: ServerProcess, tmp_path: Path) -> None:
    out = tmp_path / "new" / "grid.png"
    result = run(
        "--url", server.http, "--labels", "0, 1,2", "--n", "4", "--seed", "7", "--scale", "2", "--out", str(out)
    )
    assert result.output == f"{out}: 12 images, row seeds 7 to 18\n"
    picture = Image.open(out)
    assert picture.size == (4 * 18 - 2, 3 * 18 - 2), "4 × 3 images of 16 pixels, 2 between neighbours"
    assert picture.info["seed"] == "7"
    assert picture.info["labels"] == "0, 1,2"


def test_an_array_holds_every_image_in_order(server: ServerProcess, tmp_path: Path) -> None:
    out = tmp_path / "images.npy"
    assert run("--grpc", server.grpc, "--n", "300", "--seed", "0", "--out", str(out)).exit_code == 0
    images = np.load(out)
    assert images.shape == (300, 8, 8, 1)
    alone = GrpcTransport(Connection("", server.grpc)).sample(299, 1, None, SampleOptions())
    np.testing.assert_array_equal(images[299], alone[0])


def test_what_is_wrong_is_said_before_the_server_is_asked(tmp_path: Path) -> None:
    result = run("--out", str(tmp_path / "grid.bmp"))
    assert result.exit_code == 2
    assert "allowed: .png, .jpeg, .webp, .gif, .npy" in result.output


def test_without_a_server_the_command_ends_with_one_line_and_no_file(tmp_path: Path) -> None:
    result = run("--url", "http://127.0.0.1:9", "--out", str(tmp_path / "grid.png"))
    assert result.exit_code == 1
    assert "Is `latentd serve` running there?" in result.output
    assert list(tmp_path.iterdir()) == []
