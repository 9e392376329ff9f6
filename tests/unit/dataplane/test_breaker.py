import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataplane.breaker import Breaker, RetryBudget


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(threshold=3, cooldown_s=5.0, clock=clock)


def test_it_opens_after_failures_in_a_row(breaker: Breaker) -> None:
    for _ in range(2):
        breaker.fail()
    assert breaker.allows()
    breaker.fail()
    assert not breaker.allows()


def test_a_success_between_keeps_it_closed(breaker: Breaker) -> None:
    for _ in range(10):
        breaker.fail()
        breaker.fail()
        breaker.succeed()
    assert breaker.allows()


def test_after_the_pause_one_probe_goes_through(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        breaker.fail()
    clock.now_s = 5.0
    assert breaker.allows()
    breaker.start()
    assert not breaker.allows()
    breaker.succeed()
    assert breaker.allows()


def test_a_failed_probe_opens_it_again(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        breaker.fail()
    clock.now_s = 5.0
    breaker.start()
    breaker.fail()
    assert not breaker.allows()
    clock.now_s = 10.0
    assert breaker.allows()


def test_an_abandoned_probe_lets_the_next_one_through(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        breaker.fail()
    clock.now_s = 5.0
    breaker.start()
    breaker.abandon()
    assert breaker.allows()


def test_it_rests_for_as_long_as_the_tier_asked(breaker: Breaker, clock: Clock) -> None:
    for _ in range(3):
        breaker.fail(retry_after_s=30.0)
    clock.now_s = 29.0
    assert not breaker.allows()
    clock.now_s = 30.0
    assert breaker.allows()


def test_a_tier_that_says_it_is_down_rests_after_one_failure(
    breaker: Breaker, clock: Clock
) -> None:
    assert breaker.allows(up=False)
    breaker.fail()
    assert not breaker.allows(up=False)
    assert breaker.allows(up=True)
    clock.now_s = 5.0
    assert breaker.allows(up=False)


@given(st.lists(st.booleans(), max_size=400))
def test_retries_never_exceed_their_share(asks: list[bool]) -> None:
    budget, requests, retries = RetryBudget(), 0, 0
    for is_request in asks:
        if is_request:
            requests += 1
            budget.earn()
        else:
            retries += budget.spend()
    assert retries <= 0.2 * requests + 3
