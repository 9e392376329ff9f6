"""Rollups of the tables: each record is added once, whatever order it comes in and whoever dies."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

import controlplane
from controlplane import push, schedule
from controlplane.connection import Connect
from controlplane.database import Database
from controlplane.leader import Leader, NotLeaderError
from controlplane.observations import Observation, Used
from controlplane.observe import Source
from controlplane.rollups import KEPT, RollupJob, forget
from dataplane.contract.records import Attempt, Completion, Decision, Record
from dataplane.strategies import Drawn
from tests.policies import policy
from tests.traffic import PostgresTraffic, query, records, shadow

NOW = datetime.now(UTC)
EARLIER, LATER, OTHER = Source("a", 1), Source("a", 2), Source("b", 1)
SHADOW = Drawn("shadow", 0.25, "cloud")
ROOT = Path(str(controlplane.__file__)).parents[1]

RAW_QUERIES = """
SELECT date_bin('10 minutes', c.at, '2000-01-01Z'), d.policy_version, coalesce(c.final_tier, ''),
    count(*), count(*) FILTER (WHERE c.status = 'ok'),
    count(*) FILTER (WHERE c.status = 'ok' AND c.final_tier = 'local'),
    count(*) FILTER (WHERE c.status = 'ok' AND c.escalated),
    count(*) FILTER (WHERE c.status = 'error')
FROM completions c JOIN decisions d ON d.id = c.decision_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""
QUERIES = """
SELECT at, policy_version, tier, queries, answered, local, escalated, failed FROM query_rollups
ORDER BY at, policy_version, tier
"""
RAW_CALLS = """
SELECT date_bin('10 minutes', a.at, '2000-01-01Z'), a.tier, a.purpose, a.model, count(*),
    count(a.error), sum(a.prompt_tokens), sum(a.completion_tokens),
    round(sum(a.cost_usd)::numeric, 12)
FROM attempts a JOIN decisions d ON d.id = a.decision_id GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""
CALLS = """
SELECT at, tier, purpose, model, calls, failed, prompt_tokens, completion_tokens,
    round(cost_usd::numeric, 12)
FROM spend_rollups ORDER BY at, tier, purpose, model
"""
KEPT_ROWS = "SELECT * FROM {0} WHERE at >= %s ORDER BY {0}"
SUMS = ("query_rollups", "spend_rollups", "latency_rollups")
ADD_AND_DIE = """
import os, signal, sys
from controlplane.connection import connect
from controlplane.rollups import add
with connect(sys.argv[1]) as connection:
    assert add(connection, 1000) > 0
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def published(store: Connect) -> None:
    with store() as connection:
        push.publish(connection, policy("cascade"))


@pytest.fixture
def job(store: Connect, leader: Leader) -> RollupJob:
    return RollupJob(store, leader)


def mixed(number: int) -> list[Record]:
    """Each kind of query in its turn, one every 20 minutes."""
    seen = query(12_000 * number, answered=("local", "cloud")[: 1 + number % 2])
    status: Any = "error" if number % 5 == 4 else "ok"
    return records(seen, [SHADOW] if number % 2 == 0 and status == "ok" else [], status)


def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.url) as owner:
        return owner.execute(statement.encode()).fetchall()


def unseen(observation: Observation) -> Attempt:
    """The cloud's shadow answer to a query."""
    return shadow(replace(observation, used={"cloud": Used(10, 2)}), "cloud")


def check_sums(database: Database) -> None:
    """The rollups are what the records add up to."""
    assert rows(database, QUERIES) == rows(database, RAW_QUERIES) != []
    assert rows(database, CALLS) == rows(database, RAW_CALLS) != []


def total(database: Database) -> int:
    return sum(row[3] for row in rows(database, QUERIES))


def test_sums_are_those_of_the_records(
    database: Database, traffic: PostgresTraffic, job: RollupJob
) -> None:
    for number in range(10):
        traffic.shipping.ship(*mixed(number))
    traffic.shipping.ship(unseen(query(0)), source=OTHER)
    assert job.run(NOW) == "11 records"
    check_sums(database)
    assert job.run(NOW) == "0 records"
    check_sums(database)


def test_what_the_cloud_was_paid_and_would_have_been(
    database: Database, traffic: PostgresTraffic, job: RollupJob
) -> None:
    local, cloud = query(1), query(2, answered=("cloud",), cost_usd=0.004)
    traffic.shipping.ship(*records(local, [SHADOW]))
    traffic.shipping.ship(*records(cloud))
    job.run(NOW)
    called = unseen(local).model_copy(update={"cost_usd": 0.003})
    traffic.shipping.ship(called)
    job.run(NOW)
    terms = policy("cascade").tiers[-1]
    expected = float(terms.expected_cost_usd(local.features.chars))
    (found,) = rows(
        database,
        "SELECT sum(paid_cloud_usd), sum(expected_cloud_usd) FROM query_rollups",
    )
    assert found == pytest.approx((0.004, expected))
    (found,) = rows(
        database,
        "SELECT sum(shadow_calls), sum(shadow_usd), sum(shadow_expected_usd) FROM spend_rollups",
    )
    assert found == pytest.approx((1, 0.003 / 0.25, expected / 0.25))


def test_a_spool_that_comes_late_or_twice_is_added_once(
    database: Database, traffic: PostgresTraffic, job: RollupJob
) -> None:
    traffic.shipping.ship(*mixed(3), source=LATER)
    job.run(NOW)
    traffic.shipping.ship(*mixed(1), source=EARLIER)
    traffic.shipping.ship(*mixed(3), source=LATER)
    traffic.shipping.ship(*mixed(3), source=OTHER)
    job.run(NOW)
    job.run(NOW)
    assert total(database) == 2
    check_sums(database)


def test_what_comes_before_its_decision_waits_for_it(
    database: Database, traffic: PostgresTraffic, job: RollupJob
) -> None:
    found = records(query(1), [SHADOW])
    late = [record for record in found if isinstance(record, Decision)]
    traffic.shipping.ship(*(r for r in found if isinstance(r, Attempt | Completion)), source=OTHER)
    traffic.shipping.ship(*mixed(2))
    job.run(NOW)
    assert total(database) == 1
    assert len(rows(database, "SELECT FROM rollup_waiting")) == 2
    check_sums(database)
    traffic.shipping.ship(*late, source=LATER)
    job.run(NOW)
    job.run(NOW)
    assert total(database) == 2
    assert rows(database, "SELECT FROM rollup_waiting") == []
    check_sums(database)


def test_a_run_is_bounded_and_the_next_ones_catch_up(
    database: Database, traffic: PostgresTraffic, store: Connect, leader: Leader
) -> None:
    for number in range(5):
        traffic.shipping.ship(*mixed(number), source=Source("a", number % 2))
    hurried = RollupJob(store, leader, batch=2, budget_s=0)
    assert [hurried.run(NOW) for _ in range(4)] == [f"{n} records" for n in (2, 2, 1, 0)]
    check_sums(database)


def test_killed_before_its_commit_it_leaves_nothing(
    database: Database, traffic: PostgresTraffic, job: RollupJob
) -> None:
    for number in range(4):
        traffic.shipping.ship(*mixed(number))
    url = database.url_for("penstock_controlplane")
    killed = subprocess.run([sys.executable, "-c", ADD_AND_DIE, url], cwd=ROOT, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert rows(database, QUERIES) == rows(database, "SELECT FROM rollup_marks") == []
    job.run(NOW)
    assert total(database) == 4
    check_sums(database)


class AlwaysLeads(Leader):
    """A control plane that wrongly believes to lead."""

    def check(self) -> None:
        """It finds nothing wrong."""


def test_two_that_believe_to_lead_add_nothing_twice(
    database: Database, traffic: PostgresTraffic, store: Connect
) -> None:
    for number in range(40):
        traffic.shipping.ship(*mixed(number), source=Source("a", number % 3))
    jobs = [RollupJob(store, AlwaysLeads("unused"), batch=4) for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(lambda each: each.run(NOW), jobs))
    assert sum(int(words.split()[0]) for words in said) == 40
    check_sums(database)


def test_who_lost_the_lead_writes_nothing(
    database: Database, traffic: PostgresTraffic, store: Connect, job: RollupJob
) -> None:
    traffic.shipping.ship(*mixed(1))
    with pytest.raises(NotLeaderError):
        RollupJob(store, Leader(database.url_for("penstock_controlplane"))).run(NOW)
    assert rows(database, QUERIES) == []
    job.run(NOW)
    check_sums(database)


def test_the_lag_is_told_by_source(
    database: Database, traffic: PostgresTraffic, job: RollupJob
) -> None:
    def lag() -> list[tuple[str, int, bool]]:
        found = rows(
            database,
            "SELECT plane, records, waiting_since IS NULL FROM v_rollup_lag ORDER BY plane",
        )
        return [(plane, records, still) for plane, records, still in found]

    for source in (EARLIER, EARLIER, OTHER):
        traffic.shipping.ship(*mixed(1), source=source)
    assert lag() == [("a", 2, False), ("b", 1, False)]
    job.run(NOW)
    assert lag() == [("a", 0, True), ("b", 0, True)]


def test_shipments_of_long_ago_are_forgotten_once_they_were_seen_and_added(
    database: Database, traffic: PostgresTraffic, store: Connect, job: RollupJob
) -> None:
    def kept(days: int) -> list[tuple[Any, ...]]:
        with store() as connection:
            schedule.forget_runs(connection, NOW + timedelta(days=days))
        return rows(database, "SELECT plane, last_offset FROM shipments ORDER BY plane")

    for number, source in enumerate((EARLIER, EARLIER, OTHER)):
        traffic.shipping.ship(*mixed(number), source=source)
    every = kept(8)  # nothing was seen yet
    assert len(every) == 3
    job.run(NOW)
    assert kept(8) == every  # nor did the learner see it
    with psycopg.connect(database.url) as owner:
        owner.execute("INSERT INTO watermarks SELECT * FROM rollup_marks WHERE plane = 'a'")
    assert kept(6) == every
    assert [plane for plane, _ in kept(8)] == ["b"]
    job.run(NOW)
    traffic.shipping.ship(*mixed(3), source=EARLIER)
    job.run(NOW)
    check_sums(database)


def shipped(traffic: PostgresTraffic, count: int = 10) -> list[datetime]:
    """So many queries, 20 minutes apart, and when they were."""
    for number in range(count):
        traffic.shipping.ship(*mixed(number))
    return [query(12_000 * number).at for number in range(count)]


def times(database: Database, table: str) -> list[datetime]:
    return [at for (at,) in rows(database, f"SELECT DISTINCT at FROM {table} ORDER BY at")]


def since(database: Database, at: datetime) -> list[list[tuple[Any, ...]]]:
    with psycopg.connect(database.url) as owner:
        return [owner.execute(KEPT_ROWS.format(t).encode(), (at,)).fetchall() for t in SUMS]


def test_old_sums_go_and_new_ones_stay(
    database: Database, traffic: PostgresTraffic, job: RollupJob
) -> None:
    at = shipped(traffic)
    assert job.run(at[-1]) == "10 records"
    before = since(database, at[6])
    assert all(before)
    assert "old sums dropped" in job.run(at[6] + KEPT)
    assert since(database, at[6]) == before
    assert [min(times(database, table)) for table in SUMS] == [at[6]] * 3
    assert job.run(at[6] + KEPT) == "0 records"


def test_a_record_whose_decision_never_came_is_given_up(
    database: Database, traffic: PostgresTraffic, job: RollupJob
) -> None:
    traffic.shipping.ship(*mixed(0)[1:])
    for now in (NOW, query(0).at + KEPT):
        job.run(now)
        assert rows(database, "SELECT count(*) FROM rollup_waiting") == [(2,)]
    job.run(query(1).at + KEPT)
    assert rows(database, "SELECT count(*) FROM rollup_waiting") == [(0,)]


def test_a_run_drops_few_the_oldest_first_by_whole_ten_minutes(
    database: Database, traffic: PostgresTraffic, store: Connect, job: RollupJob
) -> None:
    at = shipped(traffic)
    job.run(at[-1])
    whole = {step: since(database, step) for step in at}
    left = [10]
    while left[-1]:
        with store() as connection:
            assert 0 < forget(connection, NOW, most=3) <= 4 * 3
        for place, table in enumerate(SUMS[:2]):
            begin = min(times(database, table), default=at[-1])
            assert since(database, at[0])[place] in (whole[begin][place], [])
        left.append(len(times(database, "query_rollups")))
    assert left == [10, 7, 4, 1, 0]


def test_ten_minutes_of_more_rows_than_that_go_at_once(
    database: Database, traffic: PostgresTraffic, store: Connect, job: RollupJob
) -> None:
    at = shipped(traffic)
    job.run(at[-1])
    with store() as connection:
        forget(connection, NOW, most=0)
    assert times(database, "spend_rollups") == times(database, "query_rollups") == at[1:]


def test_who_does_not_lead_drops_nothing(
    database: Database, traffic: PostgresTraffic, store: Connect, job: RollupJob
) -> None:
    job.run(shipped(traffic)[-1])
    with pytest.raises(NotLeaderError):
        RollupJob(store, Leader(database.url_for("penstock_controlplane"))).forget(NOW)
    check_sums(database)
