"""The story of a policy on real tables: crashes, restarts, two control planes."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import psycopg
import pytest

from controlplane import push, registry, states
from controlplane.audit.certificates import Certifier, Ground
from controlplane.connection import Connect, Connection, connect
from controlplane.cycle import (
    CERTIFIER,
    DIAGNOSIS,
    FROZEN,
    LEARNER,
    Cycle,
    School,
    load_watermark,
)
from controlplane.database import Database
from controlplane.leader import Leader, NotLeaderError
from controlplane.learn.learner import Learner
from controlplane.observe import Source
from controlplane.states import CorruptStateError
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import (
    AuditTerms,
    LinearEstimator,
    QualityTarget,
    ShadowTerms,
    WrongAcceptances,
)
from tests.policies import policy
from tests.scripted_learner import ScriptedLearner, scripted
from tests.traffic import AUDIT, PostgresTraffic, query

NOW = datetime(2026, 3, 1, tzinfo=UTC)
START = policy(audit=AuditTerms(rate=0.1, held_out=0.0))


@pytest.fixture
def url(database: Database) -> str:
    return database.url_for("penstock_controlplane")


@pytest.fixture
def store(url: str) -> Connect:
    store = partial(connect, url)
    with store() as connection:
        push.publish(connection, START)
    return store


@pytest.fixture
def leader(url: str) -> Iterator[Leader]:
    with Leader(url) as leader:
        assert leader.leads()
        yield leader


def remembered(store: Connect) -> ScriptedLearner:
    with store() as connection:
        body = states.load(connection, LEARNER)
    assert body is not None
    return ScriptedLearner.from_json(body)


def events(store: Connect) -> list[tuple[str, dict[str, Any]]]:
    with store() as connection:
        rows = connection.execute("SELECT kind, body FROM events ORDER BY id").fetchall()
    return [(row["kind"], row["body"]) for row in rows]


def test_a_turn_moves_everything_and_publishes(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    traffic.complete(query(1), [AUDIT])
    Cycle(store, leader, scripted(0.3)).run(NOW)
    assert remembered(store).observed == [str(query(1).decision_id)]
    with store() as connection:
        assert load_watermark(connection) == {Source("memory", 0): 0}
        live = registry.live(connection)
    assert (live.version, live.parent, live.segments[0].lambda_) == (2, 1, 0.3)
    ((kind, body),) = events(store)
    assert (kind, body["reason"], body["version"]) == ("retune", "scripted lambda 0.3", 2)


def test_over_restarts_every_query_and_label_counts_once(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    for number in range(6):
        traffic.complete(query(number), [AUDIT])
        Cycle(store, leader, scripted()).run(NOW)  # a fresh process each time
        traffic.resolve(query(number), {"local": 1.0})
    cycle = Cycle(store, leader, scripted())
    cycle.run(NOW)
    cycle.run(NOW)
    everyone = [str(query(n).decision_id) for n in range(6)]
    assert remembered(store).observed == everyone
    assert remembered(store).labelled == everyone


class DiedError(Exception):
    """The process died here."""


@contextmanager
def dying_before_commit(store: Connect) -> Iterator[Connection]:
    with store() as connection:
        yield connection
        raise DiedError


def test_a_crash_before_the_commit_moves_nothing(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    traffic.complete(query(1), [AUDIT])
    survivor = Cycle(store, leader, scripted())
    survivor.run(NOW)
    traffic.resolve(query(1), {"local": 0.0})
    traffic.complete(query(2), [AUDIT])
    before = _everything(store)
    with pytest.raises(DiedError):
        Cycle(partial(dying_before_commit, store), leader, scripted(0.3)).run(NOW)
    assert _everything(store) == before
    survivor.run(NOW)
    assert remembered(store).observed == [str(query(n).decision_id) for n in (1, 2)]
    assert remembered(store).labelled == [str(query(1).decision_id)]


def test_a_cycle_whose_turn_failed_forgets_what_it_had_learned(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    traffic.complete(query(1))
    fail = iter([True, False, False])

    @contextmanager
    def sometimes_dying() -> Iterator[Connection]:
        with dying_before_commit(store) if next(fail) else store() as connection:
            yield connection

    cycle = Cycle(sometimes_dying, leader, scripted())
    with pytest.raises(DiedError):
        cycle.run(NOW)
    cycle.run(NOW)
    assert remembered(store).observed == [str(query(1).decision_id)]


def _everything(store: Connect) -> list[Any]:
    tables = ("watermarks", "learner_state", "label_tasks", "estimates", "events", "publications")
    with store() as connection:
        return [
            connection.execute(f"SELECT * FROM {t} ORDER BY 1".encode()).fetchall() for t in tables
        ]


def test_only_the_leader_publishes(
    url: str, store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    traffic.complete(query(1))
    with Leader(url) as other:
        assert not other.leads()
        with pytest.raises(NotLeaderError):
            Cycle(store, other, scripted(0.9)).run(NOW)
        Cycle(store, leader, scripted(0.3)).run(NOW)
        with store() as connection:
            assert registry.live(connection).segments[0].lambda_ == 0.3
        leader.resign()
        assert other.leads()
        Cycle(store, other, scripted(0.9)).run(NOW)
    assert remembered(store).observed == [str(query(1).decision_id)]


def test_a_leader_whose_session_ended_knows_and_writes_nothing(
    database: Database, store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    traffic.complete(query(1))
    with psycopg.connect(database.url) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
    with pytest.raises(NotLeaderError):
        Cycle(store, leader, scripted(0.3)).run(NOW)
    with store() as connection:
        assert load_watermark(connection) == {}
        assert registry.live(connection).version == 1


def test_two_cycles_in_turn_share_one_learner(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    """Even if both believed to lead, the locked row keeps their turns one after the other."""
    cycles = [Cycle(store, leader, scripted()) for _ in range(2)]
    for number in range(8):
        traffic.complete(query(number))
        cycles[number % 2].run(NOW)
    assert remembered(store).observed == [str(query(n).decision_id) for n in range(8)]


def test_a_policy_published_meanwhile_wins_and_is_seen_next(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    traffic.complete(query(1))

    class Overtaken(ScriptedLearner):
        """While it thinks, an operator publishes."""

        def propose(self, *args: Any, **kwargs: Any) -> PolicyDocument | None:
            with store() as connection:
                operator = policy(lambda_=0.7, audit=START.audit)
                push.publish(connection, operator.model_copy(update={"version": 2, "parent": 1}))
            return super().propose(*args, **kwargs)

    calm = scripted(0.3, 0.4)
    Cycle(store, leader, School(calm.fresh, Overtaken.from_json)).run(NOW)
    assert [kind for kind, _ in events(store)] == ["conflict"]
    Cycle(store, leader, calm).run(NOW)
    with store() as connection:
        live = registry.live(connection)
    assert (live.version, live.parent, live.segments[0].lambda_) == (3, 2, 0.4)
    assert remembered(store).observed == [str(query(1).decision_id)]


def test_frozen_nothing_moves(store: Connect, leader: Leader, traffic: PostgresTraffic) -> None:
    with store() as connection:
        states.save_value(connection, FROZEN, value=True)
    traffic.complete(query(1))
    Cycle(store, leader, scripted(0.3)).run(NOW)
    with store() as connection:
        assert registry.live(connection).version == 1
    assert remembered(store).observed == [str(query(1).decision_id)]


def test_alarms_are_told_in_words(store: Connect, leader: Leader, traffic: PostgresTraffic) -> None:
    for number in range(13):
        traffic.complete(query(number))
    Cycle(store, leader, scripted()).run(NOW)
    assert events(store) == [("alarm", {"reason": "thirteen queries were seen"})]


def test_labels_bring_an_estimate_of_what_was_served(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    cycle = Cycle(store, leader, scripted())
    for number in range(40):
        traffic.complete(query(number), [AUDIT] if number % 4 == 0 else [])
    cycle.run(NOW)
    for number in range(0, 32, 4):
        traffic.resolve(query(number), {"local": float(number != 8)})
    cycle.run(NOW)
    with store() as connection:
        rows = connection.execute('SELECT * FROM estimates ORDER BY "window"').fetchall()
    assert [row["window"] for row in rows] == ["last_1000_labels", "run", "structural_policy"]
    for row in rows:
        assert row["n"] == 32  # query 32 was drawn and is not resolved
        assert row["quality"] == pytest.approx(7 / 8)
        assert row["lo"] < 7 / 8 < row["hi"]
        assert row["detail"]["labels"] == 8
        assert row["detail"]["labels_missing"] == 1529  # to the tolerance of two points
        assert row["detail"]["no_alarm_since"] == query(0).at.isoformat()


def test_a_damaged_state_is_refused(
    database: Database, store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    traffic.complete(query(1))
    Cycle(store, leader, scripted()).run(NOW)
    with psycopg.connect(database.url) as owner:
        owner.execute("UPDATE learner_state SET body = body || ' ' WHERE name = 'learner'")
    traffic.complete(query(2))
    with pytest.raises(CorruptStateError, match="checksum"):
        Cycle(store, leader, scripted()).run(NOW)


def test_a_state_of_another_version_is_refused_with_the_remedy(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    school = real()
    body = json.loads(school.fresh().to_json())["body"].replace('"schema":', '"schema":9')
    with store() as connection:
        states.save(connection, LEARNER, sealed(body))
    traffic.complete(query(1))
    with pytest.raises(
        CorruptStateError, match=r"schema 9\d+ is unknown.* delete the row 'learner'"
    ):
        Cycle(store, leader, school).run(NOW)


def real() -> School:
    """Of the product's own learner."""
    return School(lambda: Learner(("local", "cloud")), Learner.from_json)


def sealed(body: str) -> str:
    return json.dumps({"checksum": states.checksum(body), "body": body})


def test_the_real_learner_survives_a_restart_bit_for_bit(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    school = real()
    for number in range(30):
        traffic.complete(query(number, score=-0.1 * (number % 9)), [AUDIT])
    Cycle(store, leader, school).run(NOW)
    for number in range(30):
        traffic.resolve(query(number), {"local": float(number % 3 > 0)})
    Cycle(store, leader, school).run(NOW)
    with store() as connection:
        body = states.load(connection, LEARNER)
    assert body is not None
    again = Learner.from_json(body)
    assert (again.observed, again.labelled) == (30, 30)
    assert again.to_json() == body


def test_a_certificate_comes_from_the_tables_and_goes_at_an_alarm(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    """Its state moves with the watermark; each turn here is that of a fresh process."""
    with store() as connection:
        asked = QualityTarget(target_quality=0.9, wrong_acceptances=WrongAcceptances(limit=0.2))
        fields: dict[str, Any] = {"objective": asked, "shadow": ShadowTerms(rate=0.1)}
        fields |= {"parent": 1, "version": 2}
        push.publish(connection, policy("always_cloud", audit=AuditTerms(rate=0.1), **fields))
        models = {"local": "local-model", "cloud": "cloud-model"}
        judged = {"judge": "logprob", "models": models, "edges": [-1.0, -0.5]}
        ground = Ground.model_validate(judged | {"pairs": [10, 10, 279], "lost": [0, 0, 0]})
        certifier = Certifier({"default": ground}, rates={2: 0.1})
        states.save_value(connection, CERTIFIER, certifier.to_json())
    last = query(7, answered=("local", "cloud"), score=-0.1, policy_version=2)
    traffic.complete(last, [AUDIT])
    Cycle(store, leader, scripted()).run(NOW)
    traffic.resolve(last, {"local": 1.0, "cloud": 1.0})
    Cycle(store, leader, scripted()).run(NOW)
    with store() as connection:
        held = registry.live(connection).segments[0].certificate
    assert held is not None
    assert (held.labels, held.score) == (300, -4.0)
    for number in range(100, 112):  # the scripted learner alarms at its thirteenth query
        traffic.complete(query(number, policy_version=3))
    Cycle(store, leader, scripted()).run(NOW)
    with store() as connection:
        live = registry.live(connection)
    assert (live.version, live.segments[0].mode) == (4, "always_cloud")
    assert live.segments[0].certificate is None
    kinds = [kind for kind, _ in events(store)]
    assert kinds == ["certificate", "proposal", "alarm", "certificate_void", "proposal"]


def test_a_price_that_moves_is_told_over_restarts(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    """What drifted is known to the next process; each turn here is that of a fresh one."""
    for first, cost_usd in ((0, 0.001), (12, 0.001), (24, 0.002), (36, 0.002)):
        for number in range(first, first + 12):
            traffic.complete(query(number, cost_usd=cost_usd))
        Cycle(store, leader, scripted()).run(NOW)
    told = [body for kind, body in events(store) if kind == "drift"]
    assert [(body["causes"], body["tier"]) for body in told] == [(["price"], "local")]
    assert told[0]["factor"] == 2.0
    with store() as connection:
        saved = states.load_value(connection, DIAGNOSIS, default=None)
    assert saved["observed"] == 48


def test_an_alarm_opens_a_case_that_a_later_turn_closes(
    store: Connect, leader: Leader, traffic: PostgresTraffic
) -> None:
    learned = (LinearEstimator(buckets=(1,), weights=(0.5,)), LinearEstimator())
    with store() as connection:
        fields: dict[str, Any] = {"estimators": learned, "parent": 1, "version": 2}
        push.publish(connection, policy("always_cloud", audit=START.audit, **fields))
    for number in range(13):  # the scripted learner alarms at its thirteenth query
        traffic.complete(query(number, policy_version=2))
    Cycle(store, leader, scripted()).run(NOW)
    (alarm, opened) = events(store)
    assert alarm[0] == "alarm"
    assert (opened[0], opened[1]["status"]) == ("drift", "open")
    with store() as connection:
        saved = states.load_value(connection, DIAGNOSIS, default=None)
        saved["case"]["until"] = 20
        saved["looked"] = -200
        states.save_value(connection, DIAGNOSIS, saved)
    for number in range(13, 30):
        traffic.complete(query(number, policy_version=2))
    Cycle(store, leader, scripted()).run(NOW)
    assert [body["status"] for kind, body in events(store) if kind == "drift"] == ["open", "closed"]
