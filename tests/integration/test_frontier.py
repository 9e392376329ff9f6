"""The frontier on a store with a past whose truth is known."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from controlplane import states
from controlplane.connection import Connect, Connection, connect
from controlplane.cycle import LEARNER, OBSERVED
from controlplane.database import Database
from controlplane.evaluate.frontier import Point
from controlplane.evaluate.logged import Logged
from controlplane.evaluate.off_policy import served, worth
from controlplane.frontier import ALL, EVERY, FIRST, KEPT, FrontierJob, computed
from controlplane.leader import Leader, NotLeaderError
from controlplane.learn.learner import Learner
from controlplane.learn.policy_family import COARSE
from controlplane.learn.settings import LearnerSettings
from controlplane.observations import Labelled
from controlplane.stats import OffPolicy
from dataplane.features import TEXT
from tests.integration.test_policy_evaluate import LIVE, audited, log, past

SETTINGS = LearnerSettings()
NOW = datetime.now(UTC)
NAMED = """
UPDATE decisions SET features = jsonb_set(features, '{buckets}',
    features -> 'buckets' || to_jsonb(%(category)s + abs(hashtext(id::text)) %% 2))
"""

__all__ = ["log", "past"]  # fixtures


@pytest.fixture
def points(past: Connect) -> dict[tuple[str, str], Point]:
    """By kind and name, the first of each."""
    found: dict[tuple[str, str], Point] = {}
    with past() as connection:
        for segment, point in computed(connection, SETTINGS, NOW):
            assert segment == ALL
            found.setdefault((point.kind, point.name), point)
    return found


def test_what_served_is_told_by_its_own_labels(
    points: dict[tuple[str, str], Point], log: Sequence[Logged]
) -> None:
    told, point = worth(served(audited(log)), 0.95), points["served", "as served"]
    assert isinstance(told.dr, OffPolicy)
    assert (point.quality, point.usd.estimate) == (told.dr.interval, told.usd)
    assert point.usd.low < told.usd < point.usd.high
    assert (point.window.queries, point.refused) == (len(log), None)
    assert points["live", "v1"].quality == point.quality  # it served them all


def test_one_tier_for_all_is_told_by_shadows(
    points: dict[tuple[str, str], Point], log: Sequence[Logged]
) -> None:
    local, cloud = points["baseline", "always_local"], points["baseline", "always_cloud"]
    assert local.quality is not None
    assert cloud.quality is not None
    assert local.quality.low < 0.7 < local.quality.high
    assert cloud.quality.low < 0.9 < cloud.quality.high
    assert local.usd.estimate < points["served", "as served"].usd.estimate < cloud.usd.estimate
    assert local.method == "snips"


def test_categories_that_requests_name_have_a_tier_each(
    past: Connect, shared_database: Database
) -> None:
    with connect(shared_database.url) as connection:
        connection.execute(NAMED, {"category": TEXT})
        found = [
            point for _, point in computed(connection, SETTINGS, NOW) if point.kind == "category"
        ]
        connection.rollback()
    assert found
    assert all(point.method == "snips" and point.window.queries for point in found)
    assert all(point.quality or point.refused for point in found)


def test_a_policy_that_no_label_tells_of_says_why(past: Connect, shared_database: Database) -> None:
    with connect(shared_database.url) as connection:
        connection.execute("DELETE FROM labels")
        found = [point for _, point in computed(connection, SETTINGS, NOW)]
        connection.rollback()
    assert all(point.quality is None and point.refused for point in found)
    assert all(point.usd.estimate > 0 for point in found)


def test_the_learners_curve_is_beside_it_and_said_to_be_a_model(
    past: Connect, log: Sequence[Logged]
) -> None:
    learner = Learner(("local", "cloud"))
    learner.follow(LIVE)
    seen = [each.seen for each in log]
    learner.observe(seen)
    learner.learn(
        [Labelled(each.seen, each.query.right, 0.5, 0.5) for each in log if each.query.right]
    )
    with past() as connection:
        states.save(connection, LEARNER, learner.to_json())
        arms = [point for _, point in computed(connection, SETTINGS, NOW) if point.kind == "arm"]
        connection.rollback()
    assert len(arms) == 3 + len(COARSE)
    assert {point.method for point in arms} == {"model"}
    assert [point.policy_version for point in arms].count(LIVE.version) == 1
    known = [point for point in arms if point.quality]
    assert known
    assert all(point.refused for point in arms if not point.quality)
    dearest = max(arms, key=lambda point: point.usd.estimate)
    assert dearest.name == "always_cloud"


def observed(connection: Connection, count: int) -> None:
    states.save_value(connection, OBSERVED, count)


def test_it_is_kept_hourly_or_once_there_is_much_more_to_tell(
    past: Connect, shared_database: Database
) -> None:
    with Leader(shared_database.url_for("penstock_controlplane")) as leader, past() as connection:
        connection.autocommit = True
        assert leader.leads()
        job = FrontierJob(past, leader, SETTINGS)
        observed(connection, FIRST - 1)
        assert job.run(NOW) is None
        observed(connection, FIRST)
        ran = [job.run(NOW), job.run(NOW + timedelta(minutes=1))]
        observed(connection, 2 * FIRST)
        ran.append(job.run(NOW + timedelta(minutes=2)))
        observed(connection, 2 * FIRST + 1)
        ran += [job.run(NOW + timedelta(minutes=3)), job.run(NOW + EVERY + timedelta(minutes=3))]
        assert [each is not None for each in ran] == [True, False, True, False, True]
        rows = connection.execute("SELECT DISTINCT at FROM frontier_points ORDER BY at").fetchall()
        assert [row["at"] - NOW for row in rows] == [
            timedelta(0), timedelta(minutes=2), EVERY + timedelta(minutes=3),
        ]  # fmt: skip
        observed(connection, 3 * FIRST)
        job.run(NOW + KEPT + timedelta(hours=2))
        kept = connection.execute("SELECT count(DISTINCT at) AS n FROM frontier_points").fetchone()
        assert kept == {"n": 1}


def test_who_does_not_lead_keeps_none(past: Connect, shared_database: Database) -> None:
    with past() as connection:
        connection.execute("DELETE FROM frontier_points")
        connection.execute("DELETE FROM learner_state WHERE name = 'frontier'")
        observed(connection, FIRST)
    job = FrontierJob(past, Leader(shared_database.url_for("penstock_controlplane")), SETTINGS)
    with pytest.raises(NotLeaderError):
        job.run(NOW)
    with past() as connection:
        assert connection.execute("SELECT count(*) AS n FROM frontier_points").fetchone() == {
            "n": 0
        }
