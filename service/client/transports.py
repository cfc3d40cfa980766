"""Asking a server for images over HTTP or gRPC; both yield the same arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.latents import MAX_SEED
from service.client.connection import Connection


class ClientError(Exception):
    """The server refused, or could not be reached; the text is for the person at the terminal."""


@dataclass(frozen=True)
class SampleOptions:
    """What to ask for, beside seeds and labels; None leaves it to the server."""

    model: str | None = None
    truncation: float | None = None
    precision: str = "auto"


class Transport(Protocol):
    """One way to a server."""

    def sample(self, seed: int, n: int, labels: Sequence[str] | None, options: SampleOptions) -> NDArray[np.uint8]:
        """Images of row seeds ``seed … seed + n - 1``, uint8 ``[n, H, W, C]`` or ``[n, T, H, W, C]``.

        Raises:
            ClientError: with the server's own words.
        """
        ...


class HttpTransport:
    """`POST /v1/samples` with an array as the answer."""

    def __init__(self, connection: Connection) -> None:
        """Raises ClientError where a certificate file cannot be used."""
        import httpx

        self._url = connection.url.rstrip("/")
        headers = {"Accept": "application/x-npy"}
        if connection.api_key:
            headers["Authorization"] = f"Bearer {connection.api_key}"
        try:
            context = connection.ssl_context()
        except OSError as error:
            raise ClientError(f"--ca, --certificate: {error}") from error
        self._client = httpx.Client(headers=headers, timeout=60, verify=context or True)

    def sample(self, seed: int, n: int, labels: Sequence[str] | None, options: SampleOptions) -> NDArray[np.uint8]:
        """See `Transport.sample`."""
        import httpx

        body = {
            "model": options.model,
            "seed": seed,
            "n": n,
            "labels": labels,
            "truncation": options.truncation,
            "precision": options.precision,
        }
        try:
            answer = self._client.post(
                f"{self._url}/v1/samples",
                json={key: value for key, value in body.items() if value is not None},
            )
        except httpx.TransportError as error:
            raise ClientError(f"no answer from {self._url}: {error}. Is `latentd serve` running there?") from error
        if answer.status_code != 200:
            try:
                message = answer.json()["error"]["message"]
            except (ValueError, KeyError, TypeError):
                message = answer.text[:200]
            raise ClientError(f"{self._url} answered {answer.status_code}: {message}")
        images: NDArray[np.uint8] = np.load(BytesIO(answer.content), allow_pickle=False)
        return images


class GrpcTransport:
    """`latentd.v1.Generation/Sample` with raw pixels as the answer."""

    def __init__(self, connection: Connection) -> None:
        """Raises ClientError where a certificate file cannot be read."""
        import grpc

        from service.grpc_api._generated.latentd_v1_generation_pb2_grpc import GenerationStub

        assert connection.grpc is not None
        self._address = connection.grpc
        self._metadata = connection.metadata()
        options = [("grpc.max_receive_message_length", -1)]
        try:
            credentials = connection.grpc_credentials()
        except OSError as error:
            raise ClientError(f"--ca, --certificate: {error}") from error
        channel = (
            grpc.insecure_channel(connection.grpc, options=options)
            if credentials is None
            else grpc.secure_channel(connection.grpc, credentials, options=options)
        )
        self._stub = GenerationStub(channel)

    def sample(self, seed: int, n: int, labels: Sequence[str] | None, options: SampleOptions) -> NDArray[np.uint8]:
        """See `Transport.sample`."""
        import grpc

        from service.grpc_api._generated.latentd_v1_generation_pb2 import Label, Precision, SampleRequest

        try:
            precision = Precision.Value(f"PRECISION_{options.precision.upper()}")
        except ValueError:
            raise ClientError(f"precision: got {options.precision!r}; allowed: auto, fp32, fp16, int8") from None
        try:
            request = SampleRequest(
                model=options.model or "",
                seed=seed,
                n=n,
                labels=[Label(name=label) for label in labels or ()],
                truncation=options.truncation,
                precision=precision,
            )
        except ValueError as error:  # an integer that the message cannot carry
            raise ClientError(f"seed: got {seed}; allowed: integers from 0 to {MAX_SEED}") from error
        try:
            answer = self._stub.Sample(request, timeout=60, metadata=self._metadata)
        except grpc.RpcError as error:
            raise ClientError(f"{self._address} answered {error.code().name}: {error.details()}") from error
        rows = [np.frombuffer(image.data, dtype=np.uint8) for image in answer.images]
        return np.stack(rows).reshape(n, *answer.shape)
