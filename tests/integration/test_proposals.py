"""The life of a proposal on real tables: shadow, canary, live, and back, with a real data plane."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from math import log
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from controlplane import operators, proposals, push, registry, states
from controlplane.connection import Connect, Connection, connect
from controlplane.cycle import FROZEN, Cycle
from controlplane.database import Database
from controlplane.leader import Leader
from controlplane.promote import Proposal, Terms
from controlplane.proposals import RefusedError
from controlplane.registry import ConflictError
from dataplane.contract.errors import OperatorError
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Part
from dataplane.contract.terms import AuditTerms, LinearEstimator, QualityTarget
from dataplane.strategies import Drawn
from dataplane.subscription import Subscription
from tests.policies import policy
from tests.scripted_learner import scripted
from tests.traffic import PostgresTraffic, query

TERMS = Terms(canary_queries=20, watched=60)
ALL = AuditTerms(held_out=0.0)  # labels count, so that pairs can be counted
AUDITED = AuditTerms(rate=0.05, held_out=0.0)
LIVE = policy("always_cloud", audit=ALL)
MODEST = policy(
    "always_local",
    version=2,
    parent=1,
    reason="local alone meets the target",
    audit=AUDITED,
    estimators=(LinearEstimator(intercept=2.7), LinearEstimator()),
)
ON_TRIAL = policy("route").segments[0].replaced(trust="closed")
CANDIDATE = policy("always_local", version=2, parent=1, reason="local alone will do", audit=ALL)
WIDE = policy("always_local", version=2, parent=1, objective=QualityTarget(target_quality=0.8))


class House:
    """A control plane's cycle, a data plane's subscription, and queries between them."""

    def __init__(
        self, store: Connect, leader: Leader, traffic: PostgresTraffic, planes: Connection,
        subscription: Subscription,
    ) -> None:  # fmt: skip
        self.store, self.leader, self.traffic = store, leader, traffic
        self._planes, self.subscription = planes, subscription
        self.number = 0
        self.cycle = partial(Cycle, store, leader, rollout=TERMS)
        self.fetch()

    @property
    def now(self) -> datetime:
        """Just before the next query."""
        return query(self.number).at - timedelta(milliseconds=50)

    def fetch(self) -> None:
        """The data plane looks for what is newest, and answers."""
        self.subscription.refresh(self._planes)

    def turn(self, *lambdas: float) -> Proposal:
        """A turn of a fresh process, which the data plane then follows."""
        self.cycle(scripted(*lambdas)).run(self.now)
        self.fetch()
        return self.proposal

    @property
    def proposal(self) -> Proposal:
        with self.store() as connection:
            found = proposals.load(connection).proposal
        assert found is not None
        return found

    def propose(self, document: PolicyDocument = CANDIDATE, low: float | None = 0.93) -> Proposal:
        with self.store() as connection:
            connection.execute(
                'INSERT INTO estimates (policy_version, "window", n, quality, lo, hi, detail)'
                " VALUES (1, 'structural_policy', 900, .95, %s, .97, '{}')",
                (low,),
            )
            return proposals.propose(connection, document, (), "ada", self.now)

    def serve(self, count: int, right: dict[str, float], rival: int, *, version: int = 1) -> None:
        """Queries that the cloud or the local tier served, drawn for a rival's sake, labelled."""
        tier = "local" if version == self.local else "cloud"
        other = "cloud" if tier == "local" else "local"
        drawn = [Drawn("audit", 0.3, rival=rival), Drawn("shadow", 0.3, other, rival)]
        served = [
            query(self.number + at, answered=(tier,), policy_version=version, cost_usd=1e-5)
            for at in range(count)
        ]
        self.number += count
        for each in served:
            self.traffic.complete(each, drawn)
        self.cycle(scripted()).run(self.now)
        for each in served:
            self.traffic.resolve(each, right)

    @property
    def local(self) -> int:
        """The version that answers locally."""
        return self.proposal.version

    def in_force(self) -> tuple[Part, ...]:
        with self.store() as connection:
            newest = registry.latest(connection)
        assert newest is not None
        return newest.parts

    def events(self) -> list[dict[str, Any]]:
        with self.store() as connection:
            rows = connection.execute("SELECT body FROM events WHERE kind = 'proposal' ORDER BY id")
            return [row["body"] for row in rows]


@pytest.fixture
def house(database: Database, traffic: PostgresTraffic, tmp_path: Path) -> Iterator[House]:
    url = database.url_for("penstock_controlplane")
    store = partial(connect, url)
    with store() as connection:
        push.publish(connection, LIVE)
    subscription = Subscription(
        tmp_path / "policy.json", plane="p1", tiers=("local", "cloud"), start=LIVE
    )
    planes = psycopg.connect(
        database.url_for("penstock_dataplane"), autocommit=True, row_factory=dict_row
    )
    with Leader(url) as leader, planes:
        assert leader.leads()
        yield House(store, leader, traffic, planes, subscription)


GOOD = {"local": 1.0, "cloud": 0.0}
BAD = {"local": 0.0, "cloud": 1.0}


def to_canary(house: House) -> Proposal:
    house.propose()
    house.turn()
    house.turn()
    house.serve(40, GOOD, rival=2)
    return house.turn()


def served_as_canary(house: House, live: int = 1, canary: int = 2) -> Proposal:
    """Half of these queries are the canary's: no more errors, no slower, no dearer."""
    house.number += 1
    for at in range(60):
        version, tier = (canary, "local") if at % 2 else (live, "cloud")
        each = query(house.number, answered=(tier,), policy_version=version, cost_usd=1e-5)
        house.traffic.complete(each)
        house.number += 1
    return house.turn()


def to_live(house: House) -> Proposal:
    to_canary(house)
    return served_as_canary(house)


def test_a_better_and_cheaper_policy_goes_all_the_way(house: House) -> None:
    first = house.propose()
    assert (first.stage, first.version, first.against) == ("candidate", 2, 1)
    assert first.claim.margin == pytest.approx(0.05)
    house.turn()  # it is named; the data plane answers
    assert house.in_force() == (Part(version=1), Part(version=2, share=0, draw=TERMS.draw))
    assert house.subscription.rivals_of(house.subscription.policy_for("c")) != ()
    assert house.turn().stage == "shadow"
    house.serve(40, GOOD, rival=2)
    canary = house.turn()
    assert canary.stage == "canary"
    assert "40 pairs among 40 queries" in canary.why
    assert [(look.stage, look.pairs) for look in canary.looks] == [("shadow", 40)]
    assert canary.looks[0].log_for > log(canary.claim.evidence) > canary.looks[0].log_against
    assert house.in_force()[1] == Part(version=2, share=0.05, draw=TERMS.draw)
    assert served_as_canary(house).stage == "live"
    assert house.in_force() == (Part(version=2), Part(version=1, share=0, draw=TERMS.draw))
    with house.store() as connection:
        assert registry.live(connection).version == 2
    house.serve(60, GOOD, rival=1, version=2)
    assert house.turn().stage == "settled"
    assert house.in_force() == (Part(version=2),)
    stages = [event["stage"] for event in house.events()]
    assert stages == ["shadow", "canary", "live", "settled"]


def test_a_canary_is_told_beside_the_live_policy(house: House) -> None:
    to_canary(house)
    house.number += 1
    for at in range(20):
        version, tier = (2, "local") if at % 2 else (1, "cloud")
        each = query(house.number, answered=(tier,), policy_version=version, cost_usd=1e-5)
        house.traffic.complete(each, status="error" if at == 1 else "ok")
        house.number += 1
    with house.store() as connection:
        told = proposals.told(connection, house.proposal, TERMS)
    health = told["canary"]
    assert (health["canary"]["queries"], health["queries_wanted"]) == (10, 20)
    assert health["canary"]["failed"] == pytest.approx(0.1)
    assert health["live"]["failed"] == 0.0
    assert health["canary"]["latency_ms"] == pytest.approx(12.0)
    assert health["canary"]["usd"] == pytest.approx(1e-5)
    assert json.loads(json.dumps(told, allow_nan=False)) == told


@pytest.mark.parametrize("frozen", [False, True])
def test_one_that_turns_out_worse_comes_back_by_itself(house: House, frozen: bool) -> None:
    to_live(house)
    with house.store() as connection:
        states.save_value(connection, FROZEN, frozen)
    house.serve(40, BAD, rival=1, version=2)
    back = house.turn()
    assert back.stage == "rolled_back"
    assert "worse than version 1 by more than its margin" in back.why
    assert house.in_force() == (Part(version=1),)
    assert house.subscription.policy_for("c").version == 1
    house.turn()
    assert house.in_force() == (Part(version=1),)


def test_a_worse_one_is_refused_in_the_shadow(house: House) -> None:
    house.propose()
    house.turn()
    house.turn()
    house.serve(40, BAD, rival=2)
    assert house.turn().stage == "refused"
    assert house.in_force() == (Part(version=1),)


def to_shadow_by_itself(house: House) -> Proposal:
    """Always-cloud is audited, and known to two points only: pairs could not show what MODEST
    loses to be within the margin that this leaves.
    """
    with house.store() as connection:
        push.publish(connection, policy("always_cloud", version=2, parent=1, audit=AUDITED))
    house.fetch()
    for _ in range(10):
        each = query(house.number, answered=("cloud",), policy_version=2)
        house.traffic.complete(each)
        house.number += 1
    house.propose(MODEST.model_copy(update={"parent": 2}), low=0.9)
    house.turn()
    return house.turn()


def test_a_cheaper_policy_that_loses_more_than_its_margin_and_meets_the_target_goes_live(
    house: House,
) -> None:
    shadow = to_shadow_by_itself(house)
    assert shadow.claim.margin == pytest.approx(0.02)
    assert shadow.bar is not None
    assert shadow.bar.promised == pytest.approx(0.88)
    for _ in range(4):
        house.serve(29, {"local": 1.0, "cloud": 1.0}, rival=3, version=2)
        house.serve(1, {"local": 0.0, "cloud": 1.0}, rival=3, version=2)
    canary = house.turn()
    assert canary.stage == "canary"
    assert "it keeps what is promised: 89 of its answers labelled" in canary.why
    assert "USD per million queries less" in canary.why
    assert served_as_canary(house, live=2, canary=3).stage == "live"
    assert house.in_force()[0] == Part(version=3)
    house.serve(30, {"local": 1.0, "cloud": 1.0}, rival=2, version=3)
    assert house.turn().stage == "live"
    house.serve(20, BAD, rival=2, version=3)
    back = house.turn()
    assert back.stage == "rolled_back"
    assert "it does not keep what is promised" in back.why
    assert house.in_force() == (Part(version=2),)


def test_a_cheaper_policy_that_misses_what_is_promised_is_refused(house: House) -> None:
    to_shadow_by_itself(house)
    for _ in range(2):
        house.serve(10, {"local": 1.0, "cloud": 1.0}, rival=3, version=2)
        house.serve(10, {"local": 0.0, "cloud": 1.0}, rival=3, version=2)
    refused = house.turn()
    assert refused.stage == "refused"
    assert "it does not keep what is promised: 40 of its answers labelled" in refused.why
    assert house.in_force() == (Part(version=2),)


def test_one_that_a_data_plane_refuses_decides_nothing(house: House) -> None:
    odd = CANDIDATE.tiers[1].replaced(name="elsewhere")
    house.propose(CANDIDATE.model_copy(update={"tiers": (CANDIDATE.tiers[0], odd)}))
    house.turn()
    refused = house.turn()
    assert refused.stage == "refused"
    assert "p1 refuses it: unknown tiers here: elsewhere" in refused.why
    assert house.in_force() == (Part(version=1),)
    assert house.subscription.current.versions == (1,)


def test_labels_of_queries_that_were_not_drawn_for_it_are_no_pairs(house: House) -> None:
    house.propose()
    house.turn()
    house.turn()
    house.serve(40, GOOD, rival=9)
    found = house.turn()
    assert (found.stage, found.contest.pairs, found.contest.queries) == ("shadow", 0, 40)


def test_retunes_go_on_beside_it(house: House) -> None:
    house.propose()
    house.turn(0.3)
    house.turn()
    house.serve(1, GOOD, rival=2)
    first, beside = house.in_force()
    assert (first.version, beside.version, beside.draw) == (3, 2, TERMS.draw)
    assert house.proposal.stage == "shadow"


def test_what_an_operator_publishes_meanwhile_ends_it(house: House) -> None:
    to_canary(house)
    with house.store() as connection:
        push.publish(connection, policy("cascade", version=3, parent=1, kind="proposal"))
    assert house.in_force() == (Part(version=3, share=0.95), Part(version=2, share=0.05, draw=0.3))
    house.serve(1, GOOD, rival=2)
    refused = house.turn()
    assert (refused.stage, refused.why) == ("refused", "version 3 was published meanwhile")
    assert house.in_force() == (Part(version=3),)


def test_frozen_it_waits(house: House) -> None:
    house.propose()
    with house.store() as connection:
        states.save_value(connection, FROZEN, True)
    house.turn()
    assert house.turn().stage == "candidate"
    with house.store() as connection:
        states.save_value(connection, FROZEN, False)
    assert house.turn().stage == "shadow"


def test_an_operators_word_moves_it(house: House) -> None:
    house.propose()
    with house.store() as connection:
        proposals.say(connection, 2, "live", "ada", "measured elsewhere", house.now)
    assert house.turn().why == "ada: measured elsewhere"
    assert house.in_force()[0] == Part(version=2)
    with house.store() as connection:
        proposals.say(connection, 2, "rolled_back", "bob", "customers complain", house.now)
    house.turn()
    assert house.in_force() == (Part(version=1),)


@contextmanager
def refused(house: House, error: type[Exception], words: str) -> Iterator[None]:
    """Nothing of it is written."""
    with house.store() as connection:
        before = registry.next_version(connection)
    with pytest.raises(error, match=words):
        yield
    with house.store() as connection:
        assert registry.next_version(connection) == before


@pytest.mark.parametrize(
    ("document", "low", "error", "words"),
    [
        (policy("always_local", version=8, parent=7), 0.93, ConflictError, "of which 1, the live"),
        (WIDE, 0.93, OperatorError, "serves the live objective"),
        (CANDIDATE, None, OperatorError, "has no interval yet"),
    ],
)
def test_what_cannot_be_proposed_is_refused_with_the_reason(
    house: House, document: PolicyDocument, low: float | None, error: type[Exception], words: str
) -> None:
    with refused(house, error, words):
        house.propose(document, low)


def test_no_proposal_ends_a_judges_trial(house: House) -> None:
    with house.store() as connection:
        closed = policy("route", version=2, parent=1, segments=(ON_TRIAL,))
        push.publish(connection, closed)
        with pytest.raises(RefusedError, match="no mode may use the judge"):
            operators.in_mode(closed, "cascade")
    trusting = policy("cascade", version=3, parent=2)
    with refused(house, RefusedError, "the judge is on trial in segment default"):
        house.propose(trusting)


def test_retunes_since_it_was_written_do_not_matter(house: House) -> None:
    with house.store() as connection:
        push.publish(connection, policy("always_cloud", version=2, parent=1, audit=ALL))
    found = house.propose(CANDIDATE)
    assert (found.version, found.against, found.structural) == (3, 2, 1)
    with house.store() as connection:
        assert registry.load(connection, 3).parent == 2


def test_a_number_that_the_learner_takes_meanwhile_is_passed_over(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with house.store() as connection:
        registry.store(connection, policy("route", version=2, parent=1))
    free, taken = registry.next_version, iter([2])
    monkeypatch.setattr(registry, "next_version", lambda store: next(taken, None) or free(store))
    assert house.propose(CANDIDATE).version == 3


def test_one_at_a_time(house: House) -> None:
    house.propose()
    with refused(house, ConflictError, r"version 2 is on its way \(candidate\)"):
        house.propose()
    wrong: list[tuple[int, Any, str]] = [
        (7, "live", "version 7 is not the proposal on its way"),
        (2, "rolled_back", "version 2 is candidate: it cannot be rolled_back"),
    ]
    for version, stage, words in wrong:
        with house.store() as connection, pytest.raises(OperatorError, match=words):
            proposals.say(connection, version, stage, "ada", "why not", house.now)
