"""TLS and mutual TLS on both ports: who is let in, who is not, and certificates that change under the server."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
import trustme

from runtime.store import DirectoryStore
from service.client.connection import Connection
from service.client.load import closed_loop
from service.client.targets import GrpcTarget, HttpTarget, Wanted
from service.client.transports import ClientError, GrpcTransport, HttpTransport, SampleOptions
from service.grpc_api._generated.latentd_v1_generation_pb2 import SampleRequest
from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub
from tests.kit.server import ServerProcess, running_server
from tests.kit.tiny_package import publish_tiny


@dataclass(frozen=True)
class Secured:
    """A server with mutual TLS, and the files around it."""

    server: ServerProcess
    authority: trustme.CA
    folder: Path

    @property
    def ca(self) -> Path:
        """The authority of both sides."""
        return self.folder / "ca.pem"

    @property
    def own(self) -> Path:
        """The client's certificate and key."""
        return self.folder / "client.pem"


def write_server_files(folder: Path, authority: trustme.CA) -> None:
    made = authority.issue_cert("127.0.0.1", "localhost")
    (folder / "server.pem").write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
    made.private_key_pem.write_to_path(folder / "server.key")


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder: Path = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    write_server_files(folder, authority)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(folder / "client.pem")
    publish_tiny(DirectoryStore(folder / "models"), "tiny", precisions=("fp32",))
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "client.pem")
    args = [f"--tls-{name}={folder / file}" for name, file in (("certificate", "server.pem"), ("key", "server.key"))]
    with running_server(
        folder / "models", folder / "state", *args, f"--tls-client-ca={folder / 'ca.pem'}", verify=context
    ) as server:
        yield Secured(server, authority, folder)


def client_context(secured: Secured, *, certificate: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(secured.ca))
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def test_the_commands_reach_it_over_both_ports(secured: Secured) -> None:
    assert secured.server.http.startswith("https://")
    for connection in (
        Connection(secured.server.http, ca=secured.ca, certificate=secured.own),
        Connection("", secured.server.grpc, ca=secured.ca, certificate=secured.own),
    ):
        transport = GrpcTransport(connection) if connection.grpc else HttpTransport(connection)
        assert transport.sample(1, 2, None, SampleOptions()).shape == (2, 8, 8, 1)


async def test_the_load_generator_does_too(secured: Secured) -> None:
    for target in (
        HttpTarget(Connection(secured.server.http, ca=secured.ca, certificate=secured.own), Wanted()),
        GrpcTarget(Connection("", secured.server.grpc, ca=secured.ca, certificate=secured.own), Wanted()),
    ):
        load = await closed_loop(target, concurrency=2, seconds=0.2, warm_up=0.0)
        await target.close()
        assert set(load.outcomes) == {"ok"}


def test_http_refuses_a_client_without_a_certificate_of_the_authority(secured: Secured, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().issue_cert("client").private_key_and_cert_chain_pem.write_to_path(stranger)
    for certificate in (None, stranger):
        context = client_context(secured, certificate=certificate)
        with httpx.Client(verify=context) as client, pytest.raises(httpx.TransportError):
            client.get(f"{secured.server.http}/livez")
    with httpx.Client(verify=client_context(secured, certificate=secured.own)) as client:
        answer = client.get(f"{secured.server.http}/livez")
        assert answer.status_code == 200
        assert answer.headers["strict-transport-security"]
    with pytest.raises(httpx.TransportError):
        httpx.get(secured.server.http.replace("https", "http") + "/livez")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{secured.server.http}/livez")  # whose authority nobody knows


def test_grpc_refuses_a_client_without_a_certificate_of_the_authority(secured: Secured, tmp_path: Path) -> None:
    stranger = trustme.CA().issue_cert("client").private_key_and_cert_chain_pem.bytes()
    ca = secured.ca.read_bytes()
    for credentials in (
        grpc.ssl_channel_credentials(ca),
        grpc.ssl_channel_credentials(ca, stranger, stranger),
        None,
    ):
        channel = (
            grpc.insecure_channel(secured.server.grpc)
            if credentials is None
            else grpc.secure_channel(secured.server.grpc, credentials)
        )
        with channel, pytest.raises(grpc.RpcError) as caught:
            GenerationStub(channel).Sample(SampleRequest(), timeout=5)
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    with pytest.raises(ClientError, match="UNAVAILABLE"):
        GrpcTransport(Connection("", secured.server.grpc, ca=secured.ca)).sample(0, 1, None, SampleOptions())


def test_old_protocols_are_refused(secured: Secured) -> None:
    context = client_context(secured, certificate=secured.own)
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with httpx.Client(verify=context) as client, pytest.raises(httpx.TransportError):
        client.get(f"{secured.server.http}/livez")


def served_over_http(secured: Secured) -> bytes:
    context = client_context(secured, certificate=secured.own)
    with httpx.Client(verify=context) as client, client.stream("GET", f"{secured.server.http}/livez") as answer:
        found: bytes = answer.extensions["network_stream"].get_extra_info("ssl_object").getpeercert(True)
        return found


def test_a_new_certificate_is_served_to_new_connections_and_a_broken_one_is_not(secured: Secured) -> None:
    own = secured.own.read_bytes()
    credentials = grpc.ssl_channel_credentials(secured.ca.read_bytes(), own, own)
    before = served_over_http(secured)
    write_server_files(secured.folder, secured.authority)
    after = served_over_http(secured)
    assert before != after
    good = (secured.folder / "server.pem").read_bytes()
    (secured.folder / "server.pem").write_bytes(b"half a file")
    assert served_over_http(secured) == after
    with grpc.secure_channel(secured.server.grpc, credentials) as channel:
        assert GenerationStub(channel).Sample(SampleRequest(), timeout=10).images
    assert "the ones before stay" in secured.server.log.read_text()
    (secured.folder / "server.pem").write_bytes(good)
    # Another authority for the clients: those of the old one are strangers from now on, on both ports.
    other = trustme.CA()
    old_ca = secured.ca.read_bytes()
    client_ca = secured.folder / "ca.pem"
    try:
        client_ca.write_bytes(other.cert_pem.bytes())
        context = ssl.create_default_context(cadata=old_ca.decode())
        context.load_cert_chain(secured.own)
        with httpx.Client(verify=context) as client, pytest.raises(httpx.TransportError):
            client.get(f"{secured.server.http}/livez")
        fresh = [("grpc.use_local_subchannel_pool", 1)]
        channel = grpc.secure_channel(secured.server.grpc, credentials, options=fresh)
        with channel, pytest.raises(grpc.RpcError):
            GenerationStub(channel).Sample(SampleRequest(), timeout=3)
    finally:
        client_ca.write_bytes(old_ca)


def test_a_wrong_file_stops_the_start(tmp_path: Path, secured: Secured) -> None:
    with (
        pytest.raises(AssertionError) as caught,
        running_server(
            secured.folder / "models", tmp_path / "state", "--tls-certificate=absent.pem", "--tls-key=absent.key"
        ),
    ):
        pass
    assert "exit code 1" in str(caught.value)
    log = (tmp_path / "state" / "server.log").read_text()
    assert "settings tls_certificate absent.pem, tls_key absent.key" in log
    assert "Traceback" not in log
