"""What a rollout counts, hears, and wants in force; its life on tables is in integration."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from controlplane.observations import Labelled, Observation
from controlplane.promote import Proposal, Stage, Terms
from controlplane.rollout import MOST, Rollout, difference
from controlplane.stats.contest import Claim
from dataplane.contract.publication import Part
from dataplane.contract.terms import AuditTerms, CostCeiling, LinearEstimator
from tests.policies import policy
from tests.traffic import query

ALL = AuditTerms(held_out=0.0)
LIVE, RIVAL = (
    policy("always_cloud", audit=ALL), policy("always_local", version=2, parent=1, audit=ALL)
)  # fmt: skip
CASCADE = policy("cascade", version=3, parent=1)
KNOWN = {each.version: each for each in (LIVE, RIVAL, CASCADE)}
SINCE = query(0).at
TERMS = Terms()


def rollout(stage: Stage = "shadow", *, version: int = 2, **fields: Any) -> Rollout:
    proposal = Proposal(version, 1, 1, Claim(0.02), SINCE, stage, **fields)
    return Rollout(KNOWN.get, proposal)


def cloud(number: int, **fields: Any) -> Observation:
    return query(number, answered=("cloud",), **fields)


def found(each: Rollout) -> Proposal:
    assert each.proposal is not None
    return each.proposal


def labelled(seen: Observation, right: dict[str, float], rival: int | None = 2) -> Labelled:
    return Labelled(seen, right, 0.3, 0.3, rival)


def test_queries_are_counted_by_whether_the_two_may_part() -> None:
    both = rollout()
    both.observe([cloud(1), cloud(2), query(3)])  # the rival answers locally, too
    assert (found(both).contest.queries, found(both).contest.parted) == (3, 2)
    before = replace(cloud(4), at=SINCE - timedelta(seconds=1))
    both.observe(
        [
            before,
            cloud(5, policy_version=2),
            cloud(6, excluded=("local",)),
            cloud(7, policy_version=9),
        ]
    )
    assert found(both).contest.queries == 3


def test_at_its_start_the_share_is_known_of_the_queries_before() -> None:
    both = rollout()
    both.recall([replace(cloud(1), at=SINCE - timedelta(days=1)), query(2)])
    assert (found(both).contest.queries, found(both).contest.parted, found(both).began) == (2, 1, 2)
    both.observe([cloud(3)])
    assert (found(both).contest.queries, found(both).began) == (3, 2)


def test_what_a_held_out_policy_decided_is_not_compared() -> None:
    both = rollout()
    both.held_out = 1
    both.observe([cloud(1), cloud(2, policy_version=3)])
    both.hear([labelled(cloud(1), {"local": 1.0, "cloud": 0.0})], ())
    assert (found(both).contest.queries, found(both).contest.pairs) == (1, 0)


def test_of_much_traffic_a_part_is_looked_at() -> None:
    both = rollout()
    both.observe([cloud(number) for number in range(MOST + 50)])
    assert found(both).contest.queries == MOST


def test_what_would_have_been_saved_needs_no_label() -> None:
    both = rollout()
    both.observe([cloud(number) for number in range(20)])
    saved = found(both).saved
    chars = float(np.mean([cloud(number).features.chars for number in range(20)]))
    bills = LIVE.bills(chars, 0)
    assert saved.count == 20
    assert saved.mean == pytest.approx(float(bills.dear[0] - bills.local), rel=0.01)
    live = rollout("live")
    live.observe([query(number, policy_version=2) for number in range(20)])
    assert found(live).saved.count == 0


@pytest.mark.parametrize(
    ("rival", "seen", "right", "expected"),
    [
        (RIVAL, cloud(1), {"local": 1.0, "cloud": 0.0}, 1.0),
        (RIVAL, cloud(1), {"local": 0.0, "cloud": 0.5}, -0.5),
        (RIVAL, cloud(1), {"cloud": 0.5}, None),
        (RIVAL, query(1), {"local": 0.0}, 0.0),
        (CASCADE, cloud(1, score=-0.001), {"local": 1.0, "cloud": 0.0}, 1.0),
        (CASCADE, cloud(1, score=-3.9), {"local": 1.0, "cloud": 0.0}, 0.0),
        (CASCADE, cloud(1), {"local": 1.0, "cloud": 0.0}, None),  # nobody saw the score
    ],
)
def test_a_pair_is_the_rivals_label_less_that_of_what_was_served(
    rival: Any, seen: Observation, right: dict[str, float], expected: float | None
) -> None:
    assert difference(rival, labelled(seen, right)) == expected


def test_only_what_was_drawn_for_it_is_heard_and_live_it_is_the_other_way_round() -> None:
    good = {"local": 1.0, "cloud": 0.0}
    told: Sequence[Labelled] = [
        labelled(cloud(1), good),
        labelled(cloud(2), good, rival=None),
        labelled(cloud(3), good, rival=9),
        labelled(replace(cloud(4), at=SINCE - timedelta(seconds=1)), good),
    ]
    shadow = rollout()
    shadow.hear(told, ("there",))
    assert (found(shadow).contest.pairs, shadow.place) == (1, ("there",))
    assert found(shadow).contest.for_it.log_evidence > 0
    held = Rollout(
        {1: policy("always_cloud", audit=AuditTerms(held_out=1 - 1e-9)), 2: RIVAL}.get,
        found(rollout()),
    )
    held.hear(told, ())
    assert found(held).contest.pairs == 0
    live = rollout("live")
    live.hear([labelled(query(1, policy_version=2), good, rival=1)], ())
    assert found(live).contest.for_it.log_evidence > 0


def asked(low: float = 0.0, rate: float = 0.1, **fields: Any) -> Rollout:
    """After so many labels, a proposal that believes to lose two points against always-cloud."""
    sure = (LinearEstimator(intercept=2.7), LinearEstimator())
    live = policy("always_cloud", audit=AuditTerms(rate=rate, held_out=0.0), **fields)
    rival = policy("always_local", version=2, parent=1, estimators=sure, audit=ALL)
    both = Rollout({1: live, 2: rival}.get, Proposal(2, 1, 1, Claim(low), SINCE, "shadow"))
    recent = [cloud(number) for number in range(20)]
    both.recall(recent)
    both.ask(live, 0.94, recent, TERMS)
    return both


def test_what_is_asked_is_settled_by_what_takes_fewer_labels() -> None:
    bar = found(asked()).bar
    assert bar is not None
    assert bar.promised == pytest.approx(0.88)
    assert found(asked(low=0.5)).bar is None
    assert found(asked(rate=0.0)).bar is None
    assert found(asked(objective=CostCeiling(ceiling_usd_per_query=1.0))).bar is None


def test_asked_by_itself_its_own_answers_count_whoever_they_were_drawn_for() -> None:
    both = asked()
    both.hear(
        [
            labelled(cloud(1), {"local": 1.0}),
            labelled(query(2), {"local": 1.0}, rival=None),  # both serve that answer
            labelled(cloud(3), {"cloud": 1.0}),
        ],
        (),
    )
    assert found(both).contest.pairs == 2
    assert found(both).contest.for_it.log_evidence > 0
    live = asked()
    live.proposal = replace(found(live), stage="live")
    live.hear([labelled(query(4, policy_version=2), {"local": 0.0}, rival=1)], ())
    assert found(live).contest.against.log_evidence > 0


def test_retunes_that_lost_give_way_once() -> None:
    audited = AuditTerms(rate=0.3, held_out=0.0)
    retune = policy("always_cloud", version=4, parent=1, audit=audited)
    made = Rollout({4: retune}.get)
    assert made.watch_over(retune, 1, SINCE, alarmed=False)
    assert not made.watch_over(retune, 1, SINCE, alarmed=False)
    wrong = [labelled(cloud(at, policy_version=4), {"cloud": 0.0}, None) for at in range(30)]
    made.hear(wrong[:2], ())
    assert not made.give_back()
    made.hear(wrong, ())
    assert made.in_force(4, 1, TERMS) == (Part(version=4),)
    assert made.give_back()
    assert not made.give_back()
    again = Rollout.from_json(made.to_json(), KNOWN.get)
    assert again.in_force(4, 1, TERMS) == (Part(version=1),)
    assert again.in_force(6, 6, TERMS) == (Part(version=6),)


def test_a_proposal_that_is_live_is_not_watched_twice() -> None:
    retune = policy("always_cloud", version=4, parent=2, audit=AuditTerms(rate=0.3))
    made = rollout("live")
    assert not made.watch_over(retune, 2, SINCE, alarmed=False)
    assert made.watch is None


@pytest.mark.parametrize(
    ("stage", "live", "structural", "parts"),
    [
        ("candidate", 5, 1, [Part(version=5), Part(version=2, share=0, draw=0.3)]),
        ("canary", 5, 1, [Part(version=5, share=0.95), Part(version=2, share=0.05, draw=0.3)]),
        ("live", 5, 1, [Part(version=2), Part(version=1, share=0, draw=0.3)]),
        ("live", 6, 2, [Part(version=6), Part(version=1, share=0, draw=0.3)]),
        ("rolled_back", 6, 2, [Part(version=1)]),
        ("rolled_back", 1, 1, [Part(version=1)]),
        ("settled", 6, 2, [Part(version=6)]),
        ("refused", 5, 1, [Part(version=5)]),
    ],
)
def test_each_stage_wants_its_versions_in_force(
    stage: Stage, live: int, structural: int, parts: list[Part]
) -> None:
    assert list(rollout(stage).in_force(live, structural, TERMS)) == parts


@pytest.mark.parametrize(
    ("stage", "live", "structural", "parts"),
    [
        (None, 5, 1, [Part(version=5, share=0.9), Part(version=1, share=0.1)]),
        (None, 1, 1, [Part(version=1)]),
        (
            "canary",
            5,
            1,
            [
                Part(version=5, share=0.85),
                Part(version=2, share=0.05, draw=0.3),
                Part(version=1, share=0.1),
            ],
        ),
        ("live", 6, 2, [Part(version=6, share=0.9), Part(version=1, share=0.1, draw=0.3)]),
        ("settled", 6, 2, [Part(version=6, share=0.9), Part(version=2, share=0.1)]),
    ],
)
def test_the_last_structural_policy_is_held_out(
    stage: Stage | None, live: int, structural: int, parts: list[Part]
) -> None:
    made = rollout(stage) if stage else Rollout(KNOWN.get)
    found = made.in_force(live, structural, replace(TERMS, holdout=0.1))
    assert [(one.version, one.draw) for one in found] == [(one.version, one.draw) for one in parts]
    assert [one.share for one in found] == pytest.approx([one.share for one in parts])


def test_without_a_proposal_nothing_is_compared() -> None:
    none = Rollout(KNOWN.get)
    none.observe([cloud(1)])
    none.hear([labelled(cloud(1), {"local": 1.0, "cloud": 1.0})], ())
    assert (none.open, none.rival, none.proposal) == (False, None, None)
    assert none.in_force(4, 1, TERMS) == (Part(version=4),)


def test_it_goes_on_exactly_where_it_was() -> None:
    both = rollout()
    both.observe([cloud(1), cloud(2)])
    both.hear([labelled(cloud(1), {"local": 1.0, "cloud": 0.0})], ("a", "b"))
    again = Rollout.from_json(both.to_json(), KNOWN.get)
    assert (again.proposal, again.place) == (both.proposal, both.place)
    assert again.to_json() == both.to_json()
