"""The error tree, and the two tables that give each kind its status."""

import grpc
import pytest

from service import errors
from service.errors import InvalidRequest, ServiceError, all_kinds
from service.grpc_api.errors import STATUS as GRPC
from service.http_api.errors import STATUS as HTTP

# The table of the wire contract.
CONTRACT = {
    "invalid_request": (400, grpc.StatusCode.INVALID_ARGUMENT),
    "unauthenticated": (401, grpc.StatusCode.UNAUTHENTICATED),
    "permission_denied": (403, grpc.StatusCode.PERMISSION_DENIED),
    "not_found": (404, grpc.StatusCode.NOT_FOUND),
    "method_not_allowed": (405, grpc.StatusCode.UNIMPLEMENTED),
    "conflict": (409, grpc.StatusCode.FAILED_PRECONDITION),
    "too_large": (413, grpc.StatusCode.INVALID_ARGUMENT),
    "unsupported_media": (415, grpc.StatusCode.INVALID_ARGUMENT),
    "overloaded": (429, grpc.StatusCode.RESOURCE_EXHAUSTED),
    "rate_limited": (429, grpc.StatusCode.RESOURCE_EXHAUSTED),
    "draining": (503, grpc.StatusCode.UNAVAILABLE),
    "not_ready": (503, grpc.StatusCode.UNAVAILABLE),
    "deadline": (504, grpc.StatusCode.DEADLINE_EXCEEDED),
    "cancelled": (499, grpc.StatusCode.CANCELLED),
    "unimplemented": (501, grpc.StatusCode.UNIMPLEMENTED),
    "internal": (500, grpc.StatusCode.INTERNAL),
}


@pytest.mark.parametrize("kind", sorted(set(all_kinds())))
def test_every_kind_has_the_status_of_the_contract_in_both_transports(kind: str) -> None:
    assert (HTTP[kind], GRPC[kind]) == CONTRACT[kind]


def test_no_table_has_a_kind_that_does_not_exist() -> None:
    assert set(HTTP) == set(GRPC) == set(CONTRACT) == set(all_kinds())


def test_the_docstring_draws_the_whole_tree() -> None:
    classes = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, ServiceError)]
    assert len(classes) >= 16
    assert [error.__name__ for error in classes if error.__name__ not in (errors.__doc__ or "")] == []


def test_a_refused_field_names_itself_its_value_and_what_is_allowed() -> None:
    error = InvalidRequest.field("n", 0, "an integer from 1 to 9")
    assert error.message == str(error) == "n: got 0; allowed: an integer from 1 to 9"
    assert error.param == "n"


@pytest.mark.parametrize("value", ["x" * 10_000, list(range(10_000)), {"a": "b" * 500}, [[[[[[[[1]]]]]]]] * 90])
def test_a_long_value_is_cut(value: object) -> None:
    assert len(InvalidRequest.field("n", value, "less").message) < 120


def test_a_huge_value_is_cut_before_it_is_written_out() -> None:
    class Element:
        written = 0

        def __repr__(self) -> str:
            Element.written += 1
            return "0"

    InvalidRequest.field("latents", [Element() for _ in range(10_000)], "less")
    assert Element.written < 100


def test_an_internal_error_carries_the_request_id_and_nothing_else() -> None:
    assert errors.Internal("abc123").message == "internal error; quote request id abc123 when you report it"
