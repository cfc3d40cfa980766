"""A client's id is kept where it is safe to repeat."""

import pytest

from service.request_ids import request_id


@pytest.mark.parametrize("given", ["mine-1", "a", "A.b_c-9", "x" * 128])
def test_a_safe_id_is_kept(given: str) -> None:
    assert request_id(given) == given


@pytest.mark.parametrize("given", [None, "", "x" * 129, "two words", "line\n", "tail\r\nX: y", b"bytes", "é"])
def test_any_other_is_replaced(given: object) -> None:
    made = request_id(given)
    assert made != given
    assert len(made) == 32
    assert made != request_id(given)
