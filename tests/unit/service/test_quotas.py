"""Images per second and open requests of one caller, on a clock that the test turns."""

import pytest

from service.access import Caller
from service.errors import Overloaded, RateLimited
from service.metrics import Metrics
from service.quotas import Quotas
from tests.unit.service.parts import value_of

ALICE, BOB = Caller("alice", ("sample",)), Caller("bob", ("sample",))


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_without_a_limit_nothing_is_counted(metrics: Metrics, clock: Clock) -> None:
    quotas = Quotas(metrics, clock=clock)
    for _ in range(100):
        quotas.charge(ALICE, 1000)
    with quotas.open_request(ALICE), quotas.open_request(ALICE):
        pass


def test_the_rate_is_never_passed_and_the_time_to_come_back_is_exact(metrics: Metrics, clock: Clock) -> None:
    quotas = Quotas(metrics, images_per_second=10, clock=clock)
    made, start = 0, clock.now
    for _ in range(200):
        try:
            quotas.charge(ALICE, 3)
            made += 3
        except RateLimited as busy:
            assert 0 < busy.retry_after_s < 0.301
            assert busy.param == "n"
            clock.now += busy.retry_after_s
    assert made > 200
    assert made <= 10 * (clock.now - start) + 10 + 1e-3, "no more than the rate and one second's worth at the start"


def test_a_request_larger_than_a_second_passes_and_is_paid_for_afterwards(metrics: Metrics, clock: Clock) -> None:
    quotas = Quotas(metrics, images_per_second=10, clock=clock)
    quotas.charge(ALICE, 100)
    with pytest.raises(RateLimited) as busy:
        quotas.charge(ALICE, 1)
    assert busy.value.retry_after_s == pytest.approx(9.1)
    clock.now += busy.value.retry_after_s
    quotas.charge(ALICE, 1)
    assert value_of(metrics, "latentd_rejected_total", reason="rate") == 1


def test_a_slow_rate_lets_one_image_pass(metrics: Metrics, clock: Clock) -> None:
    quotas = Quotas(metrics, images_per_second=0.1, clock=clock)
    quotas.charge(ALICE, 1)
    with pytest.raises(RateLimited) as busy:
        quotas.charge(ALICE, 1)
    assert busy.value.retry_after_s == pytest.approx(10)


def test_a_caller_has_an_account_and_limits_of_its_own(metrics: Metrics, clock: Clock) -> None:
    quotas = Quotas(metrics, images_per_second=1, clock=clock)
    quotas.charge(ALICE, 1)
    quotas.charge(BOB, 1)
    quotas.charge(Caller("carol", ("sample",), images_per_second=50), 50)
    for caller in (ALICE, BOB):
        with pytest.raises(RateLimited):
            quotas.charge(caller, 1)


def test_what_the_queue_refuses_is_given_back(metrics: Metrics, clock: Clock) -> None:
    quotas = Quotas(metrics, images_per_second=5, clock=clock)
    for _ in range(10):
        with pytest.raises(Overloaded), quotas.charged(ALICE, 5):
            raise Overloaded("full", retry_after_s=1)
    with pytest.raises(RuntimeError), quotas.charged(ALICE, 5):
        raise RuntimeError
    with pytest.raises(RateLimited):
        quotas.charge(ALICE, 1)


def test_open_requests_are_counted_until_they_end_however_they_end(metrics: Metrics, clock: Clock) -> None:
    quotas = Quotas(metrics, concurrent_requests=2, clock=clock)
    with quotas.open_request(ALICE):
        with pytest.raises(RuntimeError), quotas.open_request(ALICE):
            with pytest.raises(RateLimited, match="this caller has 2 open; allowed: 2"), quotas.open_request(ALICE):
                pytest.fail("a third was let in")
            with quotas.open_request(BOB):
                pass
            raise RuntimeError
        with quotas.open_request(ALICE):
            pass


def test_the_time_to_come_back_follows_how_long_requests_take(metrics: Metrics, clock: Clock) -> None:
    quotas = Quotas(metrics, concurrent_requests=1, clock=clock)
    for _ in range(50):
        with quotas.open_request(ALICE):
            clock.now += 4
    with quotas.open_request(ALICE), pytest.raises(RateLimited) as busy, quotas.open_request(ALICE):
        pass
    assert busy.value.retry_after_s == pytest.approx(4, rel=0.01)
