"""The table of states is whole, and wishes can be told from facts."""

import pytest

from service.jobs.states import FINAL, HELD, NEXT, ON_WIRE, STATES, State, check_step

WIRE_WORDS = {"queued", "running", "paused", "succeeded", "failed", "cancelled"}


def test_every_state_has_its_followers_and_its_word() -> None:
    assert set(NEXT) == set(ON_WIRE) == set(STATES)
    assert set(ON_WIRE.values()) == WIRE_WORDS


def test_nothing_follows_the_end_and_everything_comes_to_it() -> None:
    assert {state for state in STATES if not NEXT[state]} == set(FINAL)
    for state in STATES:
        seen, pending = set[State](), [state]
        while pending:
            for after in NEXT[pending.pop()] - seen:
                seen.add(after)
                pending.append(after)
        assert state in FINAL or seen & set(FINAL)


def test_a_cancelled_wish_cannot_be_taken_back() -> None:
    assert NEXT["cancelling"] == {"cancelled"}
    assert "cancelling" not in NEXT["finalizing"]
    assert not set(HELD) & set(FINAL)


def test_a_step_that_is_not_in_the_table_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="succeeded cannot become running"):
        check_step("succeeded", "running")
