from controlplane.demo.lines import Line
from controlplane.demo.scoreboard import HOLDS, recovered_after

GOOD, BAD = 1, 2
QUALITY = {GOOD: 0.9, BAD: 0.8}


def served(*versions: int | None) -> list[Line]:
    """Ten queries before the change by a bad policy, then one for each version."""
    return [line(place, BAD) for place in range(10)] + [
        line(10 + after, version) for after, version in enumerate(versions)
    ]


def line(place: int, version: int | None) -> Line:
    return Line(
        place=place,
        at=0.0,
        decision_id=None,
        policy_version=version,
        tier="local",
        cost_usd=0.0,
        right=1,
        latency_ms=1.0,
        error=None,
    )


def after(*versions: int | None) -> int | None:
    return recovered_after(served(*versions), QUALITY, 10, 0.88)


def test_never_left() -> None:
    assert after(GOOD, GOOD, GOOD) == 0


def test_back_to_stay() -> None:
    assert after(BAD, BAD, GOOD, GOOD) == 2


def test_a_relapse_starts_the_count_anew() -> None:
    assert after(BAD, GOOD, BAD, GOOD) == 3


def test_never_back() -> None:
    assert after(GOOD, GOOD, BAD) is None


def test_a_query_that_nobody_decided_says_nothing() -> None:
    assert after(BAD, GOOD, None) == 1


def test_a_relapse_long_after_is_another_story() -> None:
    assert after(BAD, BAD, *(GOOD for _ in range(HOLDS)), BAD, GOOD) == 2
