"""`penstock policy evaluate` on a store with a past whose truth is known."""

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest

from controlplane import push, registry
from controlplane.cli import main
from controlplane.connection import Connect, connect
from controlplane.database import Database
from controlplane.evaluate.logged import Logged, read
from controlplane.evaluate.off_policy import evaluate
from controlplane.observations import Observation
from controlplane.observe import PostgresLog, vector
from controlplane.sql import SQL
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import TRUSTED
from dataplane.strategies import Drawn
from tests.command import Run, penstock
from tests.logged import serve_all, truths
from tests.traffic import PostgresTraffic, records
from tests.unit.controlplane.evaluate.test_counterfactual import document

LIVE = document("cascade_route")
ROUTE = document("route").replaced(version=2, parent=1)
UNKNOWN = document("always_cloud", tiers=3).replaced(version=3, parent=2)


@pytest.fixture(scope="module")
def log() -> list[Logged]:
    return serve_all(LIVE, truths(3, 240))


@pytest.fixture(scope="module")
def past(shared_database: Database, log: Sequence[Logged]) -> Connect:
    """The store after these queries: observed, and labelled where drawn."""
    traffic = PostgresTraffic(shared_database.url)
    store = partial(connect, shared_database.url_for("penstock_controlplane"))
    with store() as connection:
        push.publish(connection, LIVE)
        registry.store(connection, ROUTE)
        registry.store(connection, UNKNOWN)
    traffic.shipping.ship(*(record for each in log for record in records(*shipped(each))))
    with store() as connection:
        _, reached = PostgresLog(connection).new({})
        connection.execute(SQL["save_watermark"], vector(reached))
    for each in log:
        if each.drawn:
            late = each.seen.score if each.served_score is None else None
            traffic.resolve(each.seen, each.query.right, late)
    return store


def shipped(each: Logged) -> tuple[Observation, list[Drawn]]:
    """The query as serving left it, and its draws."""
    audit = [Drawn("audit", each.query.audit_probability)] if each.drawn else []
    silent = {tier.name for tier in LIVE.tiers} - set(each.seen.answered)
    chance = each.query.shadow_probability
    shadows = [Drawn("shadow", chance, tier) for tier in silent] if each.shadowed else []
    return replace(each.seen, score=each.served_score), audit + shadows


@pytest.fixture
def run(
    shared_database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    return penstock(shared_database, monkeypatch, capsys)


def audited(log: Sequence[Logged]) -> list[Logged]:
    """Of a shadow that was not audited, the test's traffic writes neither answer nor score."""
    return [
        each
        if each.drawn
        else replace(
            each,
            query=replace(each.query, observation=replace(each.seen, score=each.served_score)),
        )
        for each in log
    ]


@pytest.mark.parametrize("policy", [LIVE, ROUTE, UNKNOWN], ids=["live", "route", "unknown"])
def test_the_tables_tell_what_memory_does(
    past: Connect, log: Sequence[Logged], policy: PolicyDocument
) -> None:
    with past() as connection:
        found = read(connection, 1000, TRUSTED)
    assert [each.seen.decision_id for each in found] == [each.seen.decision_id for each in log]
    assert [each.query.right for each in found] == [each.query.right for each in log]
    assert [each.seen.score for each in found] == [each.seen.score for each in audited(log)]
    assert evaluate(policy, found) == evaluate(policy, audited(log))


def test_it_looks_back_as_far_as_it_is_told_and_stops_at_what_is_not_resolved(
    past: Connect, log: Sequence[Logged]
) -> None:
    drawn = next(at for at, each in enumerate(log) if each.drawn and at > 100)
    pending = "UPDATE label_tasks SET status = 'pending' WHERE decision_id = %s"
    with past() as connection:
        assert len(read(connection, 30, TRUSTED)) == 30
        told = read(connection, 1000, ["reference"])
        connection.execute(pending, (log[drawn].seen.decision_id,))
        assert len(read(connection, 1000, TRUSTED)) == drawn
        connection.rollback()
    assert not any(each.query.right for each in told)


def test_the_command_shows_both_and_the_difference(
    past: Connect, log: Sequence[Logged], run: Run
) -> None:
    told = evaluate(ROUTE, audited(log))
    assert json.loads(run("policy", "evaluate", "2", "--json")) == told.to_json()
    shown = run("policy", "evaluate", "2")
    assert "on the last 240 queries" in shown
    assert "v2" in shown
    assert "as served" in shown
    assert f"{told.served.usd:.4g}" in shown
    assert "v2 may have answered" in shown or "v2 against what served: " in shown
    assert "on the last 100 queries" in run("policy", "evaluate", "2", "--last", "100")


def test_what_the_log_cannot_tell_is_refused_in_words(past: Connect, run: Run) -> None:
    shown = run("policy", "evaluate", "3", "--last", "50")
    assert shown.count("refused") >= 3
    assert "v3: " in shown
    assert "then ask again." in shown


def test_an_operator_is_told_what_is_missing(
    database: Database,
    store: Connect,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    penstock(database, monkeypatch, capsys)
    with store() as connection:
        push.publish(connection, LIVE)
    for version, said in (("4", "version 4 is not stored"), ("1", "no answered query was read")):
        monkeypatch.setattr(sys, "argv", ["penstock", "policy", "evaluate", version])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert said in capsys.readouterr().err
