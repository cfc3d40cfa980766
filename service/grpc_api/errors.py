"""From error kind to gRPC status, with the details of google.rpc (AIP-193)."""

import grpc
from google.protobuf.any_pb2 import Any
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status

from service.errors import Busy, ServiceError

STATUS = {
    "invalid_request": grpc.StatusCode.INVALID_ARGUMENT,
    "unauthenticated": grpc.StatusCode.UNAUTHENTICATED,
    "permission_denied": grpc.StatusCode.PERMISSION_DENIED,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "method_not_allowed": grpc.StatusCode.UNIMPLEMENTED,
    "conflict": grpc.StatusCode.FAILED_PRECONDITION,
    "too_large": grpc.StatusCode.INVALID_ARGUMENT,
    "unsupported_media": grpc.StatusCode.INVALID_ARGUMENT,
    "overloaded": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "rate_limited": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "cancelled": grpc.StatusCode.CANCELLED,
    "internal": grpc.StatusCode.INTERNAL,
    "unimplemented": grpc.StatusCode.UNIMPLEMENTED,
    "not_ready": grpc.StatusCode.UNAVAILABLE,
    "draining": grpc.StatusCode.UNAVAILABLE,
    "deadline": grpc.StatusCode.DEADLINE_EXCEEDED,
}


_MESSAGE_BYTES = 1000  # of UTF-8; it travels three times, once percent-encoded, in at most 8 KB of metadata


def short_message(error: ServiceError) -> str:
    """The error's message, cut where the metadata of a call could not carry it."""
    content = error.message.encode()
    return error.message if len(content) <= _MESSAGE_BYTES else content[:_MESSAGE_BYTES].decode(errors="ignore") + "…"


def trailing_metadata(error: ServiceError, request_id: str) -> tuple[tuple[str, str | bytes], ...]:
    """The request id, and `google.rpc.Status` with the field at fault or the time to come back."""
    status = Status(code=STATUS[error.kind].value[0], message=short_message(error))
    if isinstance(error, Busy):
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(max(1, round(error.retry_after_s * 1000)))
        _add(status, retry)
    elif error.param is not None:
        violation = BadRequest.FieldViolation(field=error.param, description=short_message(error))
        _add(status, BadRequest(field_violations=[violation]))
    return (("x-request-id", request_id), ("grpc-status-details-bin", status.SerializeToString()))


def _add(status: Status, detail: BadRequest | RetryInfo) -> None:
    packed = Any()
    packed.Pack(detail)
    status.details.append(packed)
