"""The server's certificate, its key, and the authorities of its clients: read from PEM files, and again on change.

Certificates are replaced while the server runs (ACME clients, cert-manager), so each new connection asks for the
current ones. A file that is missing, half written or does not fit its key is logged, and the ones before stay.
"""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.settings import Settings, SettingsError

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Certificates:
    """Content of the files: PEM bytes, and a context made of them."""

    chain: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext


class CertificateFiles:
    """The files of one server."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        """Read them.

        Raises:
            SettingsError: one is missing, is no PEM, or they do not fit each other.
        """
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._stamp = self._look()
        try:
            self._current = self._read()
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise SettingsError(
                f"settings tls_certificate {certificate}, tls_key {key}, tls_client_ca {client_ca}: {_reason(error)}"
            ) from error

    @classmethod
    def of(cls, settings: Settings) -> "CertificateFiles | None":
        """Those of `settings`; None where it asks for no TLS.

        Raises:
            SettingsError: see `__init__`.
        """
        if settings.tls_certificate is None or settings.tls_key is None:
            return None
        return cls(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)

    @property
    def mutual(self) -> bool:
        """Whether clients need a certificate."""
        return self._client_ca is not None

    def current(self) -> Certificates:
        """What the files hold now, or the last that was whole."""
        stamp = self._look()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._current = self._read()
                _LOG.info("read the TLS certificate again")
            except (OSError, ValueError) as error:
                _LOG.error("the changed TLS files cannot be used, the ones before stay: %s", _reason(error))
        return self._current

    def _look(self) -> list[tuple[int, int, int] | None]:
        """What tells a changed file: time, number, size; None where it is missing."""
        stamps: list[tuple[int, int, int] | None] = []
        for path in (self._certificate, self._key, self._client_ca):
            try:
                status = path.stat() if path is not None else None
            except OSError:
                status = None
            stamps.append(None if status is None else (status.st_mtime_ns, status.st_ino, status.st_size))
        return stamps

    def _read(self) -> Certificates:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self._certificate, self._key)
        client_ca = None
        if self._client_ca is not None:
            context.load_verify_locations(self._client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
            client_ca = self._client_ca.read_bytes()
        return Certificates(self._certificate.read_bytes(), self._key.read_bytes(), client_ca, context)


class ReloadingContext(ssl.SSLContext):
    """A server's context for asyncio that gives each new connection the current certificates.

    A context cannot be emptied of authorities, and swapping it in the handshake (`sni_callback`) leaves them as they
    were. So this one only hands each connection to the context that is current when it begins.
    """

    _files: CertificateFiles

    @classmethod
    def over(cls, files: CertificateFiles) -> "ReloadingContext":
        """A context over `files`."""
        context = cls(ssl.PROTOCOL_TLS_SERVER)
        context._files = files
        return context

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """See `ssl.SSLContext.wrap_bio`, by which asyncio and uvloop begin every connection."""
        return self._files.current().context.wrap_bio(*args, **kwargs)


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "the key does not fit the certificate, or a file is not PEM"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error.strerror if isinstance(error, OSError) else error)
