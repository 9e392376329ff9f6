"""Policies and keys from the control plane's role to the data plane's, over a real Postgres."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import DictRow, dict_row

from controlplane import keys as issued
from controlplane import push, registry
from controlplane.connection import Connection, connect
from controlplane.database import Database
from controlplane.registry import ConflictError, UnknownVersionError
from dataplane.access import Keys
from dataplane.contract.errors import OperatorError
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.publication import Part
from dataplane.feed import Feed
from dataplane.subscription import Subscription
from tests.policies import policy

T = TypeVar("T")

PATIENCE_S = 20.0
FIRST, SECOND = policy(version=1), policy(version=2, parent=1, reason="the second")


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    with connect(database.url_for("penstock_controlplane")) as opened:
        opened.autocommit = True
        yield opened


@pytest.fixture
def subscription(tmp_path: Path) -> Subscription:
    return subscribed(tmp_path)


def dataplane(database: Database) -> Connection:
    """A session as the feed has it."""
    url = database.url_for("penstock_dataplane")
    return psycopg.connect(url, autocommit=True, row_factory=dict_row)


def subscribed(folder: Path) -> Subscription:
    path = folder / "policy.json"
    return Subscription(path, plane="p1", tiers=("local", "cloud"), start=policy(version=1))


def until(true: Callable[[], T]) -> T:
    """Wait for something to become true; fails after a deadline."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)
    return found


@contextmanager
def following(feed: Feed) -> Iterator[Feed]:
    """The feed, for as long as the context lasts."""
    feed.start()
    try:
        yield feed
    finally:
        asyncio.run(feed.stop())


# ------------------------------------------------------------------ publishing


def test_a_published_policy_is_live(connection: Connection) -> None:
    assert registry.latest(connection) is None
    assert push.publish(connection, FIRST) == 1
    assert push.publish(connection, SECOND) == 2
    assert registry.live(connection) == SECOND
    assert registry.next_version(connection) == 3
    newest = registry.latest(connection)
    assert newest is not None
    assert (newest.seq, newest.parts, newest.reason) == (2, (Part(version=2),), "the second")


def test_only_one_may_replace_the_live_policy(connection: Connection) -> None:
    push.publish(connection, FIRST)
    push.publish(connection, SECOND)
    with pytest.raises(ConflictError, match="replaces version 1, but 2 is live"):
        push.publish(connection, policy(version=3, parent=1))
    with pytest.raises(ConflictError, match="version 2 exists already"):
        registry.store(connection, SECOND)
    with pytest.raises(ConflictError, match="publication 1 is not the newest"):
        push.put_in_force(connection, [Part(version=1)], 1, "late")
    with pytest.raises(ConflictError, match="publication 9 is not the newest"):
        push.put_in_force(connection, [Part(version=1)], 9, "early")
    assert registry.missing(connection, [1, 2, 3]) == [3]


def test_of_many_at_once_one_wins(database: Database, connection: Connection) -> None:
    push.publish(connection, FIRST)
    results: list[object] = []
    together = threading.Barrier(8)

    def race(number: int) -> None:
        proposal = policy(version=2 + number, parent=1)
        with connect(database.url_for("penstock_controlplane")) as mine:
            together.wait(PATIENCE_S)
            try:
                results.append(push.publish(mine, proposal))
            except ConflictError as conflict:
                results.append(conflict)

    racers = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(PATIENCE_S)
    assert sorted(type(result).__name__ for result in results) == ["ConflictError"] * 7 + ["int"]
    assert len(registry.versions(connection)) == 2
    newest = registry.latest(connection)
    assert newest is not None
    assert newest.seq == 2


def test_an_older_version_is_put_back_in_force(connection: Connection) -> None:
    push.publish(connection, FIRST)
    push.publish(connection, SECOND)
    assert push.put_in_force(connection, [Part(version=1)], 2, "rolled back") == 3
    assert registry.live(connection) == FIRST
    assert push.publish(connection, policy(version=3, parent=1)) == 4


def test_what_is_not_stored_cannot_be_in_force(connection: Connection) -> None:
    with pytest.raises(UnknownVersionError, match="version 4 is not stored"):
        push.put_in_force(connection, [Part(version=4)], None, "?")
    with pytest.raises(UnknownVersionError, match="no policy was ever published"):
        registry.live(connection)
    with pytest.raises(UnknownVersionError, match="penstock policy list"):
        registry.load(connection, 4)


def test_lineage_leads_to_the_first(connection: Connection) -> None:
    for version, parent in ((1, None), (2, 1), (3, 1), (4, 3)):
        registry.store(connection, policy(version=version, parent=parent))
    assert [one.version for one in registry.lineage(connection, 4)] == [4, 3, 1]
    assert [one.version for one in registry.versions(connection, most=3)] == [4, 3, 2]


# ------------------------------------------------------------------ following


def test_a_publication_reaches_the_data_plane_and_is_answered(
    database: Database, connection: Connection, subscription: Subscription
) -> None:
    feed = Feed(database.url_for("penstock_dataplane"), [subscription], poll_s=60)
    with following(feed):
        until(lambda: feed.connected)
        for document in (FIRST, SECOND):
            seq = push.publish(connection, document)
            (ack,) = until(partial(push.acks, connection, seq))
            assert (ack.plane, ack.version, ack.status) == ("p1", document.version, "ack")
            assert subscription.policy_for(None) == document
    assert subscription.policy_age_seconds < PATIENCE_S


def test_poison_in_the_store_is_refused_and_the_last_good_one_stays(
    database: Database, connection: Connection, subscription: Subscription
) -> None:
    poison = [json.dumps(json.loads(SECOND.to_json()) | {"cost_unit_usd": float("nan")})]
    poison += ["no JSON", '{"schema": 9}', "9" * (10 << 20)]
    with following(Feed(database.url_for("penstock_dataplane"), [subscription])):
        until(partial(push.acks, connection, push.publish(connection, FIRST)))
        for version, text in enumerate(poison, start=2):
            insert(connection, version, text)
            seq = push.put_in_force(connection, [Part(version=version)], version - 1, "poison")
            (nack,) = until(partial(push.acks, connection, seq))
            assert nack.status == "nack"
            assert nack.reason
            assert subscription.policy_for(None) == FIRST
        push.put_in_force(connection, [Part(version=1)], 5, "back to the good one")
        until(lambda: subscription.current.seq == 6)


def insert(connection: Connection, version: int, text: str) -> None:
    row = (version, 1, "retune", "learner", "poison", SECOND.digest(), text)
    columns = "version, parent, kind, author, reason, digest, document"
    connection.execute(f"INSERT INTO policies ({columns}) VALUES (%s,%s,%s,%s,%s,%s,%s)", row)


def test_the_poll_finds_what_no_notification_told(
    database: Database, connection: Connection, subscription: Subscription
) -> None:
    with psycopg.connect(database.url, autocommit=True) as owner:
        owner.execute("ALTER TABLE publications DISABLE TRIGGER published")
    feed = Feed(database.url_for("penstock_dataplane"), [subscription], poll_s=0.05)
    with following(feed):
        until(lambda: feed.connected)
        push.publish(connection, FIRST)
        until(lambda: subscription.current.seq == 1)


def test_a_lost_connection_is_made_again(
    database: Database, connection: Connection, subscription: Subscription
) -> None:
    feed = Feed(database.url_for("penstock_dataplane"), [subscription], retry_s=0.05)
    with following(feed):
        until(lambda: feed.connected)
        with psycopg.connect(database.url, autocommit=True) as owner:
            owner.execute("SELECT pg_terminate_backend(%s, 5000)", (backend(owner),))
        until(partial(push.acks, connection, push.publish(connection, FIRST)))


def test_a_source_at_fault_does_not_silence_the_others(
    database: Database, connection: Connection, subscription: Subscription
) -> None:
    class Broken:
        channel = "broken"

        def refresh(self, _: Connection) -> None:
            raise ZeroDivisionError

    feed = Feed(database.url_for("penstock_dataplane"), [Broken(), subscription], poll_s=0.05)
    with following(feed):
        until(partial(push.acks, connection, push.publish(connection, FIRST)))


def backend(owner: "psycopg.Connection[Any]") -> int:
    """The process that serves the feed."""
    found = owner.execute(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'penstock-dataplane'"
        " AND datname = current_database()"
    ).fetchone()
    assert found
    return int(found[0])


def test_a_hung_server_stalls_nobody(
    database: Database, connection: Connection, subscription: Subscription
) -> None:
    feed = Feed(database.url_for("penstock_dataplane"), [subscription], poll_s=0.02)
    with following(feed):
        until(lambda: feed.connected)
        with psycopg.connect(database.url) as owner:
            pid = backend(owner)
        os.kill(pid, signal.SIGSTOP)
        try:
            push.publish(connection, FIRST)
            stalls = asyncio.run(stalled(subscription, naps=100))
            began = time.monotonic()
            asyncio.run(feed.stop())
            stopping_s = time.monotonic() - began
        finally:
            os.kill(pid, signal.SIGCONT)
    assert sorted(stalls)[-3] < 0.05  # but for two: the machine is shared
    assert subscription.policy_for(None) == FIRST
    assert stopping_s < 5


async def stalled(subscription: Subscription, naps: int) -> list[float]:
    """By how many seconds the loop is late for a nap of 5 ms and a decision."""
    late: list[float] = []
    for _ in range(naps):
        began = time.perf_counter()
        await asyncio.sleep(0.005)
        subscription.policy_for("anyone")
        late.append(time.perf_counter() - began - 0.005)
    return late


def test_a_start_with_the_store_away_serves_what_was_known(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    known = issued.create(connection, tenant="acme", scopes=["inference"])
    push.publish(connection, FIRST)
    push.publish(connection, SECOND)
    url = database.url_for("penstock_dataplane")
    with dataplane(database) as once:
        subscribed(tmp_path).refresh(once)
        Keys(tmp_path / "keys.json").refresh(once)

    away = tmp_path / "socket"
    away.mkdir()
    subscription, keys = subscribed(tmp_path), Keys(tmp_path / "keys.json")
    began_s = time.monotonic()
    feed = Feed(make_conninfo(url, host=str(away)), [subscription, keys], retry_s=0.05)
    with following(feed):
        late = issued.create(connection, tenant="acme", scopes=["inference"])
        assert subscription.policy_for(None) == SECOND
        assert subscription.unconfirmed_seconds > time.monotonic() - began_s
        assert keys.authenticate(f"Bearer {known.reveal()}") is not None
        assert keys.authenticate(f"Bearer {late.reveal()}") is None
        reconnect(away, url)
        until(lambda: keys.authenticate(f"Bearer {late.reveal()}"))
        until(lambda: subscription.unconfirmed_seconds < time.monotonic() - began_s)


def reconnect(folder: Path, url: str) -> None:
    """Put the server's socket where the feed looks for it."""
    parts = conninfo_to_dict(url)
    name = f".s.PGSQL.{parts.get('port', 5432)}"
    (folder / name).symlink_to(Path(str(parts["host"])) / name)


def test_the_answer_is_given_again_after_a_crash_before_it(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    push.publish(connection, FIRST)
    with dataplane(database) as once:
        subscribed(tmp_path).refresh(once)
        with psycopg.connect(database.url, autocommit=True) as owner:
            owner.execute("DELETE FROM policy_acks")  # as if it had died just before
        again = subscribed(tmp_path)
        again.refresh(once)
        again.refresh(once)
    assert [ack.status for ack in push.acks(connection, 1)] == ["ack"]


# ------------------------------------------------------------------ keys


class Overtaken:
    """A source that is told of news in the very moment in which it refreshes."""

    channel = "penstock_overtaken"

    def __init__(self) -> None:
        self.refreshed = 0

    def refresh(self, connection: psycopg.Connection[DictRow]) -> None:
        self.refreshed += 1
        if self.refreshed == 1:
            connection.execute("SELECT pg_notify('penstock_overtaken', '')")


def test_news_that_come_during_a_refresh_are_not_left_to_the_poll(database: Database) -> None:
    source = Overtaken()
    with following(Feed(database.url_for("penstock_dataplane"), [source], poll_s=60)):
        until(lambda: source.refreshed >= 2)


def test_a_key_works_until_it_is_revoked(
    database: Database, connection: Connection, tmp_path: Path
) -> None:
    keys = Keys(tmp_path / "keys.json")
    feed = Feed(database.url_for("penstock_dataplane"), [keys], poll_s=60)
    with following(feed):
        until(lambda: feed.connected)
        key = issued.create(connection, tenant="acme", scopes=["inference"], name="app")
        until(lambda: keys.authenticate(f"Bearer {key.reveal()}"))
        issued.revoke(connection, key.id)
        until(lambda: keys.authenticate(f"Bearer {key.reveal()}") is None)
    issued.revoke(connection, key.id)
    (listed,) = issued.listed(connection)
    assert (listed.id, listed.tenant, listed.scopes) == (key.id, "acme", ["inference"])
    assert listed.revoked_at is not None
    assert key.secret not in repr(listed)


def test_a_creator_cannot_exceed_its_own_scopes(connection: Connection) -> None:
    with pytest.raises(issued.ScopeExceededError, match="scope admin, label is not yours"):
        issued.create(
            connection, tenant="t", scopes=["admin", "label", "read"], creator=["read", "inference"]
        )
    issued.create(connection, tenant="t", scopes=["read"], creator=["read", "inference"])
    assert len(issued.listed(connection)) == 1


def test_a_key_needs_a_tenant_and_a_known_scope(connection: Connection) -> None:
    with pytest.raises(OperatorError, match="at least one scope"):
        issued.create(connection, tenant="t", scopes=[])
    with pytest.raises(OperatorError, match="unknown scope root: known are admin, feedback"):
        issued.create(connection, tenant="t", scopes=["root"])  # type: ignore[list-item]  # the point
    with pytest.raises(OperatorError, match="no key has the id nobody"):
        issued.revoke(connection, "nobody")


def test_a_document_survives_the_store_bit_by_bit(connection: Connection) -> None:
    push.publish(connection, FIRST)
    loaded = registry.load(connection, 1)
    assert loaded.to_json() == FIRST.to_json()
    assert isinstance(loaded, PolicyDocument)
