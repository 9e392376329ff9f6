"""How far a receiver was told: what moves it, what waits, and what is given up."""

from datetime import UTC, datetime, timedelta

import pytest

from controlplane.alerts import LONGEST_WAIT, OPENINGS, REFUSED_FOR, Event, Told, summary
from controlplane.webhook import Said
from dataplane.contract.alerting import SEEN_BY_A_PERSON

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SENT, AWAY, REFUSED = (
    Said("sent", "HTTP 204"),
    Said("away", "HTTP 503"),
    Said("refused", "HTTP 400"),
)


def event(number: int) -> Event:
    return {"id": number, "at": NOW, "kind": "alarm", "body": {}}


def test_what_was_taken_is_behind_us() -> None:
    told = Told(after=3).on(event(7), SENT, NOW)
    assert told == Told(after=7, sent=1)


def test_attempts_become_rarer_up_to_a_limit() -> None:
    told, now, waits = Told(after=0), NOW, []
    for _ in range(12):
        told = told.on(event(1), AWAY, now)
        assert told.trouble is not None
        waits.append((told.trouble.due_at - now).total_seconds())
        assert told.waits(event(1), told.trouble.due_at - timedelta(seconds=1))
        now = told.trouble.due_at
        assert not told.waits(event(1), now)
    assert waits[:8] == [5, 10, 20, 40, 80, 160, 320, 600]
    assert set(waits[7:]) == {LONGEST_WAIT.total_seconds()}
    assert (told.after, told.failures, told.given_up) == (0, 12, 0)


def test_a_refusal_is_given_up_after_its_hour_and_the_next_has_its_own() -> None:
    told = Told(after=0).on(event(1), REFUSED, NOW)
    told = told.on(event(1), REFUSED, NOW + REFUSED_FOR - timedelta(seconds=1))
    assert told.after == 0
    told = told.on(event(1), REFUSED, NOW + REFUSED_FOR)
    assert (told.after, told.given_up, told.trouble, told.failures) == (1, 1, None, 3)
    told = told.on(event(2), REFUSED, NOW + REFUSED_FOR)
    assert told.after == 1


def test_a_receiver_that_is_away_costs_no_alert() -> None:
    told = Told(after=0).on(event(1), AWAY, NOW)
    told = told.on(event(1), AWAY, NOW + 40 * REFUSED_FOR)
    assert (told.after, told.given_up) == (0, 0)
    assert told.on(event(1), SENT, NOW + 41 * REFUSED_FOR) == Told(after=1, sent=1, failures=2)


def test_it_is_remembered_as_json() -> None:
    told = Told(after=0).on(event(1), AWAY, NOW)
    assert Told.model_validate_json(told.model_dump_json()) == told


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("alarm", {"reason": "p_hat moved."}, "Something changed: p_hat moved."),
        (
            "freeze",
            {"frozen": True, "by": "key k"},
            "The freeze switch was set: frozen True, by key k.",
        ),
        ("not_known_yet", {"reason": "new"}, "not known yet: new."),
        ("rollback", {}, "A policy was rolled back."),
    ],
)
def test_an_event_in_a_sentence(kind: str, body: dict[str, object], said: str) -> None:
    assert summary(kind, body) == said


def test_what_is_told_by_default_has_words_of_its_own() -> None:
    assert set(SEEN_BY_A_PERSON) <= set(OPENINGS)
