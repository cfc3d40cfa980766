"""How the client commands reach a server: addresses, key, certificates."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Connection:
    """Where a server is, and what it asks for.

    Attributes:
        url: HTTP address, with ``https://`` for TLS.
        grpc: gRPC address (host:port), or None.
        ca: PEM file of the authority of a server with TLS; None: those of the system, and gRPC without TLS.
        certificate: PEM file of the client's own certificate and key, for a server with mutual TLS.
    """

    url: str
    grpc: str | None = None
    api_key: str | None = None
    ca: Path | None = None
    certificate: Path | None = None

    def ssl_context(self) -> ssl.SSLContext | None:
        """For HTTP; None without TLS.

        Raises:
            OSError: a file is missing or no PEM.
        """
        if not self.url.startswith("https:"):
            return None
        context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        if self.certificate is not None:
            context.load_cert_chain(self.certificate)
        return context

    def grpc_credentials(self) -> Any:
        """For gRPC: `grpc.ChannelCredentials`, or None without TLS.

        Raises:
            OSError: a file is missing.
        """
        if self.ca is None:
            return None
        import grpc

        own = None if self.certificate is None else self.certificate.read_bytes()
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), own, own)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The key as gRPC metadata."""
        return (("authorization", f"Bearer {self.api_key}"),) if self.api_key else ()


def connection_options(command: _Command) -> _Command:
    """The options of `Connection`, for a command that takes them as keyword arguments of the same names."""
    file = click.Path(path_type=Path, dir_okay=False, exists=True)
    for option in reversed(
        (
            click.option(
                "--url", default="http://127.0.0.1:8000", show_default=True, envvar="LATENTD_URL", help="HTTP address"
            ),
            click.option("--grpc", help="gRPC address (host:port), instead of --url"),
            click.option(
                "--api-key", envvar="LATENTD_API_KEY", help="key of a server that asks for one [env: LATENTD_API_KEY]"
            ),
            click.option(
                "--ca", type=file, envvar="LATENTD_CA", help="PEM file of the authority that a TLS server's is of"
            ),
            click.option("--certificate", type=file, help="PEM file with one's own certificate and key (mutual TLS)"),
        )
    ):
        command = option(command)
    return command
