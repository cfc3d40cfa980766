"""Large JSON is read like any JSON, and leaves other threads their turn."""

import json
import sys
import threading
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http_api.sliced_json import JsonError, decode

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=30,
)


@given(value=JSON, indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_it_reads_what_json_writes(value: Any, indent: int | None, ascii_only: bool) -> None:
    assert decode(json.dumps(value, indent=indent, ensure_ascii=ascii_only)) == value


@given(text=st.text(alphabet='[]{},:"\\ 0123456789.eE+-truefalsn', max_size=20))
def test_it_refuses_and_accepts_what_json_does(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(JsonError):
            decode(text)
    else:
        assert repr(decode(text)) == repr(expected)


@pytest.mark.parametrize(
    "text",
    ["", "[", "[1,2", "[1,,2]", "[1,]", "[,1]", '{"a":1,}', '{"a" 1}', "{a:1}", "[1]x", "nul", "[" * 40 + "]" * 40],
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(JsonError):
        decode(text)


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(JsonError):
        decode("[" + "9" * 10_000 + "]")


def test_a_list_of_millions_is_refused() -> None:
    with pytest.raises(JsonError, match="a list of over 1000000 elements"):
        decode("[" + "0," * 1_100_000 + "0]")


def test_slices_are_cut_between_numbers_only() -> None:
    rows = [[index + column / 7 for column in range(300)] for index in range(100)]
    assert decode(json.dumps({"latents": rows, "n": 3})) == {"latents": rows, "n": 3}
    numbers = list(range(200_000))
    assert decode(json.dumps(numbers)) == numbers
    assert decode(json.dumps(numbers, indent=2)) == numbers


def test_another_thread_gets_its_turn() -> None:
    """The longest pause of a thread that only counts, as a share of the time that the reading takes."""
    text = json.dumps([[0.123456789] * 128] * 3000)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.001)
    pauses, done = [], threading.Event()

    def watch() -> None:
        last = time.perf_counter()
        while not done.is_set():
            time.sleep(0)
            now = time.perf_counter()
            pauses.append(now - last)
            last = now

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        decode(text)
        seconds = time.perf_counter() - start
    finally:
        done.set()
        watcher.join()
        sys.setswitchinterval(interval)
    assert max(pauses) < seconds / 3, f"{max(pauses):.3f} of {seconds:.3f} s"
