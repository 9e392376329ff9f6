"""The audit's part of the story on real tables: its budget, its held-out labels, its watermark."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from controlplane import push, registry, states
from controlplane.audit import funnel, held_out
from controlplane.audit.window import Window
from controlplane.connection import Connect
from controlplane.cycle import FROZEN, Cycle
from controlplane.leader import Leader
from controlplane.observations import Labelled
from controlplane.observe import Source
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import AuditTerms, ShadowTerms
from tests.policies import policy
from tests.scripted_learner import scripted
from tests.traffic import AUDIT, PostgresTraffic, query

START = policy(audit=AuditTerms(rate=0.1), shadow=ShadowTerms(rate=0.05))
NOW = query(0).at + timedelta(minutes=10)
QUERIES = 60


@pytest.fixture
def store(store: Connect) -> Connect:
    with store() as connection:
        push.publish(connection, START)
    return store


def live(store: Connect) -> PolicyDocument:
    with store() as connection:
        return registry.live(connection)


def events(store: Connect) -> list[dict[str, Any]]:
    with store() as connection:
        return connection.execute("SELECT kind, body FROM events ORDER BY id").fetchall()


def busy(traffic: PostgresTraffic, first: int = 0) -> None:
    for number in range(first, first + QUERIES):
        traffic.complete(query(number), [AUDIT] if number % 10 == 0 else [])


def test_a_budget_lowers_the_rate_and_is_lifted_when_it_is_no_more(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    busy(traffic)
    cycle = Cycle(store, leader, scripted(), per_day=36)
    cycle.run(NOW)
    cycle.run(NOW)  # by the traffic that the turn before counted
    rationed = live(store)
    assert rationed.version == 2
    assert rationed.audit.rate == 0.1
    assert rationed.audit.mean("default") == pytest.approx(36 / (24 * QUERIES))
    assert rationed.shadow.rate == pytest.approx(36 / (24 * QUERIES))
    assert "audit budget: 2.50% of default drawn" in rationed.reason
    assert rationed.segments == START.segments
    cycle.run(NOW)
    assert live(store).version == 2
    Cycle(store, leader, scripted()).run(NOW)
    assert live(store).audit.mean("default") == 0.1
    assert [event["kind"] for event in events(store)] == ["retune", "retune"]


def test_draws_that_used_the_budget_up_leave_a_trickle(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    for number in range(QUERIES):
        traffic.complete(query(number), [AUDIT])
    cycle = Cycle(store, leader, scripted(), per_day=40)
    cycle.run(NOW)
    cycle.run(NOW)
    assert live(store).audit.mean("default") == pytest.approx(0.1 * 40 / (24 * QUERIES))


def test_a_learners_policy_carries_what_the_budget_leaves(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    busy(traffic)
    Cycle(store, leader, scripted(), per_day=36).run(NOW)
    Cycle(store, leader, scripted(), per_day=36).run(NOW)
    busy(traffic, QUERIES)
    with store() as connection:
        connection.execute("DELETE FROM learner_state WHERE name = 'learner'")
    Cycle(store, leader, scripted(0.3), per_day=36).run(NOW)
    assert live(store).segments[0].lambda_ == 0.3
    assert live(store).audit.mean("default") == pytest.approx(36 / (24 * QUERIES))


def test_a_frozen_policy_stays(store: Connect, leader: Leader, traffic: PostgresTraffic) -> None:
    with store() as connection:
        states.save_value(connection, FROZEN, value=True)
    busy(traffic)
    for _ in range(2):
        Cycle(store, leader, scripted(), per_day=24).run(NOW)
    assert live(store) == START


def test_held_out_labels_that_part_from_the_others_are_an_event(
    store: Connect, leader: Leader, traffic: PostgresTraffic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held_out, "ENOUGH", 8)
    seen = [query(number) for number in range(120)]
    for each in seen:
        traffic.complete(each, [AUDIT])
    share = START.audit.held_out
    out = [Labelled(each, {}, 0.1, 0.0).held_out(share) for each in seen]
    assert min(sum(out[:60]), sum(out[60:])) >= 8
    cycle = Cycle(store, leader, scripted())
    cycle.run(NOW)
    for number, each in enumerate(seen[:60]):
        traffic.resolve(each, {"local": float(number % 2)})
    cycle.run(NOW)
    assert alarms(store) == []
    for each, kept in zip(seen[60:], out[60:], strict=True):
        traffic.resolve(each, {"local": 0.0 if kept else 1.0})
    cycle.run(NOW)
    (words,) = alarms(store)
    assert "held-out labels parts from what was learned: -100.0 points" in words


def alarms(store: Connect) -> list[str]:
    said = [event["body"]["reason"] for event in events(store) if event["kind"] == "alarm"]
    return [words for words in said if "held-out" in words]


def test_estimates_end_before_the_first_unresolved_draw_of_any_plane_and_segment(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    """Planes ship at different times, and a draw may be pending in either segment."""
    west, east = Source("west", 1), Source("east", 1)
    code = {number: replace(query(number), segment="code") for number in range(1, 12, 2)}
    seen = [code.get(number, query(number)) for number in range(12)]
    for number, each in enumerate(seen):
        if number not in (4, 7):
            traffic.complete(each, [AUDIT], west)
    cycle = Cycle(store, leader, scripted())
    cycle.run(NOW)
    for number in (0, 1, 2, 3, 5, 6, 9):
        traffic.resolve(seen[number], {"local": 1.0})
    assert read(store) == [0, 1, 2, 3, 5, 6]  # 8 is pending, in segment default
    traffic.complete(seen[4], [AUDIT], east)
    traffic.complete(seen[7], [], east)
    assert read(store) == [0, 1, 2, 3, 5, 6]  # not yet observed: neither drawn nor undrawn
    cycle.run(NOW)
    assert read(store) == [0, 1, 2, 3]  # a late spool's draw is pending: the watermark goes back
    traffic.resolve(seen[4], {})
    assert read(store) == [0, 1, 2, 3, 4, 5, 6, 7]
    traffic.resolve(seen[8], {"local": 0.0})
    assert read(store) == list(range(10))  # 10 is pending
    with store() as connection:
        stages = {s.segment: s for s in funnel.read(connection, NOW) if s.window == "all"}
    default, other = stages["default"], stages["code"]
    assert (default.drawn, default.labelled, default.unsure, default.waiting) == (6, 4, 1, 1)
    assert (other.drawn, other.labelled, other.unsure, other.waiting) == (5, 4, 0, 1)
    assert default.worst is not None
    assert other.worst is not None
    assert default.worst.estimate == pytest.approx((3 / 5 + 4 / 5) / 2)
    assert other.worst.estimate == 1.0  # its own draws before 11 are all resolved


def read(store: Connect) -> list[int]:
    """The numbers of the answers that an estimate would be taken over, in order."""
    with store() as connection:
        window = Window().read(connection)
    return sorted(served.decision_id.int & (1 << 62) - 1 for served in window)
