from datetime import UTC, datetime

import pytest

from controlplane.demo.drift import HELD, LAST, DriftTold, Named, sentences, told
from controlplane.demo.ledger import Event
from controlplane.demo.lines import Line

AT = 1000
FLOOR = 0.9


def lines(rights: list[int], cost_usd: float = 2e-6) -> list[Line]:
    """One a second; each takes half of one."""
    return [
        Line(
            place=place,
            at=float(place),
            decision_id=f"d{place}",
            policy_version=1,
            tier="local",
            cost_usd=cost_usd if place < AT else 2 * cost_usd,
            right=right,
            latency_ms=500.0,
            error=None,
        )
        for place, right in enumerate(rights)
    ]


def event(second: float, kind: str = "drift", **body: object) -> Event:
    return Event(1, datetime.fromtimestamp(second, UTC), kind, {"reason": "because", **body})


def named(second: float, *causes: str) -> Event:
    return event(second, status="named", causes=list(causes))


GOOD = [1] * AT
ALARM = event(AT + 100, "alarm")


def of(*events: Event, rights: list[int] | None = None) -> DriftTold:
    return told("local", AT, lines(GOOD * 2 if rights is None else rights), events, FLOOR)


def test_nothing_was_noticed() -> None:
    found = of()
    assert (found.noticed_after, found.named, found.named_words) == (None, (), None)
    assert not found.named_rightly


def test_noticed_and_named_after_so_many_queries_of_the_drift() -> None:
    found = of(ALARM, event(AT + 100, status="open", causes=[]), named(AT + 400, "local"))
    assert (found.noticed_after, found.noticed_by) == (100, "alarm: because")
    assert found.named == (Named(cause="local", after=400),)
    assert found.named_words == "because"
    assert found.named_rightly


def test_what_was_said_before_the_drift_is_not_of_it() -> None:
    found = of(event(AT - 10, "alarm"), named(AT - 5, "local"))
    assert (found.alarms_before, found.noticed_after, found.named) == (1, None, ())


def test_what_is_no_alarm_does_not_notice() -> None:
    assert of(event(AT + 50, "retune"), event(AT + 60, "gate")).noticed_after is None


def test_another_cause_is_told_as_it_is() -> None:
    found = of(named(AT + 300, "judge"))
    assert found.named == (Named(cause="judge", after=300),)
    assert not found.named_rightly


def test_a_cause_too_many_is_not_rightly() -> None:
    found = of(named(AT + 300, "judge"), named(AT + 500, "judge", "local"))
    assert found.named == (Named(cause="judge", after=300), Named(cause="local", after=500))
    assert not found.named_rightly


def test_a_case_that_is_open_or_closed_names_nothing() -> None:
    found = of(event(AT + 100, status="open", causes=[]), event(AT + 900, status="closed"))
    assert (found.noticed_after, found.named) == (100, ())


def test_a_case_of_before_that_closes_notices_nothing() -> None:
    found = of(event(AT + 100, status="closed", causes=[]), named(AT + 400, "local"))
    assert found.noticed_after == found.named[0].after == 400
    assert found.noticed_by == "its cause was named"


def test_quality_left_and_came_back() -> None:
    found = of(rights=[*GOOD, *[0] * 100, *[1] * 900])
    assert found.quality_before == 1
    assert found.quality_lowest == (LAST - 100) / LAST
    assert found.quality_last == 1
    assert found.left_after == 51  # 51 of 500 wrong
    assert found.back_after == LAST + 50  # until there are only 50 of them again


def test_it_is_back_once_that_has_held() -> None:
    dip = [*GOOD, *[0] * 100, *[1] * (LAST - 51)]
    assert of(rights=[*dip, *[1] * (HELD - 1)]).back_after is None
    assert of(rights=[*dip, *[1] * HELD]).back_after == LAST + 50


def test_quality_that_stays_low_is_not_back() -> None:
    found = of(rights=[*GOOD, *[0] * 800])
    assert (found.left_after, found.back_after, found.quality_last) == (51, None, 0)


def test_a_cost_is_that_of_the_last_answers_before_and_at_the_end() -> None:
    found = of()
    assert found.cost_before_usd == pytest.approx(2e-6)
    assert found.cost_last_usd == pytest.approx(4e-6)


def test_it_is_told_while_the_run_is_young() -> None:
    found = told("mix", 10, lines([1] * 12), (), FLOOR)
    assert (found.quality_before, found.quality_lowest, found.left_after) == (1, 1, None)


def test_the_story_is_told_in_sentences() -> None:
    story = sentences(of(ALARM, named(AT + 400, "local"), rights=[*GOOD, *[0] * 100, *GOOD]), FLOOR)
    assert story == [
        "SIMULATED drift at query 1,000: the local tier loses a quarter of its right answers",
        "the last 500 answers fell below 0.90 after 51 queries",
        "noticed after 100 queries",
        "named as local after 400 queries",
        "the last 500 answers are at 0.90 again after 550 queries",
    ]
    assert len(sentences(of(), FLOOR)) == 1
