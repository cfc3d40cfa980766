"""TLS of the gRPC port, with certificates that are read again on change."""

import grpc

from service.tls import CertificateFiles, Certificates


def grpc_credentials(files: CertificateFiles) -> grpc.ServerCredentials:
    """Credentials that ask `files` before every handshake."""
    given: Certificates | None = None

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """The configuration where it has changed; gRPC keeps the one before where this is None."""
        nonlocal given
        current = files.current()
        if current is given:
            return None
        given = current
        return _configuration(current)

    # The stubs have no None for the fetcher, which the documentation asks for where nothing has changed.
    return grpc.dynamic_ssl_server_credentials(_configuration(files.current()), fetch, files.mutual)  # type: ignore[arg-type]


def _configuration(current: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(current.key, current.chain)], current.client_ca)
