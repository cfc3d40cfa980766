"""Certificates are read, checked, and read again on change; a broken change leaves those before."""

import ssl
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from service.settings import Settings, SettingsError
from service.tls import CertificateFiles, ReloadingContext


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def write(folder: Path, authority: trustme.CA) -> tuple[Path, Path]:
    """A new certificate and its key, over those before."""
    made = authority.issue_cert("localhost")
    certificate, key = folder / "server.pem", folder / "server.key"
    certificate.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
    made.private_key_pem.write_to_path(key)
    return certificate, key


def test_a_change_is_read_at_the_next_question(tmp_path: Path, authority: trustme.CA) -> None:
    certificate, key = write(tmp_path, authority)
    files = CertificateFiles(certificate, key, None)
    first = files.current()
    assert files.current() is first
    write(tmp_path, authority)
    second = files.current()
    assert second.chain == certificate.read_bytes() != first.chain
    assert files.current() is second


def test_a_half_made_change_leaves_those_before_and_is_logged(
    tmp_path: Path, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    certificate, key = write(tmp_path, authority)
    files = CertificateFiles(certificate, key, None)
    first = files.current()
    for breaking in (lambda: certificate.write_bytes(b"half"), certificate.unlink):
        breaking()
        assert files.current() is first
    assert len([record for record in caplog.records if "the ones before stay" in record.message]) == 2
    write(tmp_path, authority)
    assert files.current() is not first


def test_what_cannot_be_used_stops_the_start(tmp_path: Path, authority: trustme.CA) -> None:
    certificate, key = write(tmp_path, authority)
    (tmp_path / "other").mkdir()
    _, other_key = write(tmp_path / "other", authority)
    for wrong in (
        (tmp_path / "absent.pem", key, None),
        (certificate, other_key, None),
        (key, key, None),
        (certificate, key, tmp_path / "absent.pem"),
    ):
        with pytest.raises(SettingsError, match="settings tls_certificate"):
            CertificateFiles(*wrong)


def test_a_client_authority_makes_it_mutual(tmp_path: Path, authority: trustme.CA) -> None:
    certificate, key = write(tmp_path, authority)
    ca = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca)
    files = CertificateFiles(certificate, key, ca)
    assert files.mutual
    assert files.current().context.verify_mode is ssl.CERT_REQUIRED
    assert not CertificateFiles(certificate, key, None).mutual


def test_the_context_gives_each_connection_the_current_certificate(tmp_path: Path, authority: trustme.CA) -> None:
    certificate, key = write(tmp_path, authority)
    context = ReloadingContext.over(CertificateFiles(certificate, key, None))
    client_context = ssl.create_default_context()
    authority.configure_trust(client_context)

    def served() -> bytes | None:
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(to_server, to_client, server_side=True)
        client = client_context.wrap_bio(to_client, to_server, server_hostname="localhost")
        for _ in range(4):
            for side in (client, server):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
        return client.getpeercert(binary_form=True)

    first = served()
    assert first is not None
    assert served() == first
    write(tmp_path, authority)
    assert served() != first


def test_settings_say_what_belongs_together(tmp_path: Path) -> None:
    for wrong in ({"tls_certificate": tmp_path}, {"tls_key": tmp_path}, {"tls_client_ca": tmp_path}):
        with pytest.raises(ValueError, match="tls_"):
            Settings.model_validate(wrong)
    assert CertificateFiles.of(Settings()) is None
