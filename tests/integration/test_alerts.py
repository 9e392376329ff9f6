"""Alerts on real tables: a real receiver over loopback, and one that is scripted."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from controlplane import webhook
from controlplane.alerts import MOST, STALE_AFTER, AlertJob, Told, progress
from controlplane.connection import Connect
from controlplane.database import Database
from controlplane.events import record_event
from controlplane.launch import free_ports
from controlplane.leader import Leader, NotLeaderError
from controlplane.webhook import Webhook, signed
from dataplane.contract.alerting import Alerts

DOCS = Path(__file__).parents[2] / "docs" / "alerts.md"
SECRET = "whsec_" + "QUFB" * 8
NOW = datetime.now(UTC)


class Receiver:
    """Answers with these statuses in turn, the last one for ever; remembers what it was told."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.told: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.told.append(request)
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        location = {"location": "http://127.0.0.1/elsewhere"} if status == 307 else {}
        return httpx.Response(status, headers=location, text="a canary of the receiver's")

    @property
    def reasons(self) -> list[str]:
        return [json.loads(request.content)["body"]["reason"] for request in self.told]


def settings(url: str = "http://127.0.0.1/hook", **fields: Any) -> Alerts:
    return Alerts.model_validate({"webhook": url, "secret": SECRET} | fields)


def job(store: Connect, leader: Leader, receiver: Receiver, **fields: Any) -> AlertJob:
    alerts = settings(**fields)
    client = httpx.Client(transport=httpx.MockTransport(receiver))
    return AlertJob(store, leader, Webhook(alerts.url, alerts.key, client), alerts)


def happened(store: Connect, *reasons: str, kind: str = "alarm") -> None:
    with store() as connection:
        for reason in reasons:
            record_event(connection, kind, {"reason": reason})


def told(store: Connect) -> Told:
    with store() as connection:
        found = progress(connection)
    assert found is not None
    return found


@contextmanager
def documented_receiver() -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """The receiver of the documentation, as a program."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (port,) = free_ports(1)
    environment = os.environ | {"PENSTOCK_ALERTS_SECRET": SECRET, "PORT": str(port)}
    url = f"http://127.0.0.1:{port}/alerts"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as program:
        try:
            until = time.monotonic() + 30
            while not answers(url):
                assert time.monotonic() < until
                assert program.poll() is None
            yield url, program
        finally:
            program.terminate()


def answers(url: str) -> bool:
    try:
        httpx.get(url, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def test_the_documented_receiver_takes_a_real_alert_and_nothing_else(
    store: Connect, leader: Leader
) -> None:
    happened(store, "local answers got worse")
    with documented_receiver() as (url, program), webhook.client() as client:
        alerts = settings(url, deployment="test-site")
        hook = Webhook(alerts.url, alerts.key, client)
        assert AlertJob(store, leader, hook, alerts).run(datetime.now(UTC)) == "1 sent"
        assert program.stdout is not None
        id_, body = program.stdout.readline().split(" ", 1)
        sent = json.loads(body)
        assert id_ == f"test-site_{sent['id']}"
        assert sent == {
            "id": sent["id"],
            "at": sent["at"],
            "kind": "alarm",
            "summary": "Something changed: local answers got worse.",
            "body": {"reason": "local answers got worse"},
            "deployment": "test-site",
        }
        assert abs(datetime.now(UTC) - datetime.fromisoformat(sent["at"])) < timedelta(minutes=5)
        now = datetime.now(UTC)
        other = Webhook(url, b"K" * 32, client)
        assert other.post("forged", b"{}", now).words == "HTTP 401"
        assert hook.post("late", b"{}", now - timedelta(minutes=6)).words == "HTTP 401"
        headers = dict(signed(alerts.key, "a", int(now.timestamp()), b"{}"))
        assert client.post(url, content=b"{ }", headers=headers).status_code == 401
        assert client.post(url, content=b"{}", headers=headers).status_code == 204


def test_events_are_told_once_and_in_order_and_only_those_that_are_wanted(
    store: Connect, leader: Leader
) -> None:
    receiver = Receiver(200)
    each = job(store, leader, receiver, kinds=("alarm", "gate"))
    happened(store, "one")
    happened(store, "nobody asked", kind="retune")
    happened(store, "two", kind="gate")
    assert each.run(NOW) == "2 sent"
    assert each.run(NOW) is None
    happened(store, "three")
    assert each.run(NOW) == "1 sent"
    assert receiver.reasons == ["one", "two", "three"]
    ids = [request.headers["webhook-id"] for request in receiver.told]
    assert len(set(ids)) == 3


def test_a_proposal_that_came_back_is_told_as_a_rollback(store: Connect, leader: Leader) -> None:
    receiver = Receiver(200)
    with store() as connection:
        for stage in ("canary", "live", "rolled_back"):
            record_event(connection, "proposal", {"stage": stage, "reason": f"now {stage}"})
    assert job(store, leader, receiver).run(NOW) == "1 sent"
    (request,) = receiver.told
    sent = json.loads(request.content)
    assert (sent["kind"], sent["body"]["stage"]) == ("rollback", "rolled_back")
    assert sent["summary"] == "A policy was rolled back: now rolled_back."


def test_a_run_tells_only_so_many(store: Connect, leader: Leader) -> None:
    receiver = Receiver(200)
    happened(store, *map(str, range(MOST + 3)))
    each = job(store, leader, receiver)
    assert [each.run(NOW), each.run(NOW)] == [f"{MOST} sent", "3 sent"]
    assert receiver.reasons == [str(number) for number in range(MOST + 3)]


def test_unwanted_events_are_passed_for_good(store: Connect, leader: Leader) -> None:
    happened(store, "a", "b", kind="retune")
    job(store, leader, Receiver(200), kinds=("alarm",)).run(NOW)
    receiver = Receiver(200)
    assert job(store, leader, receiver, kinds=("retune",)).run(NOW) is None
    assert told(store).after == 2


def test_trouble_holds_up_what_comes_after_and_passes(
    store: Connect, leader: Leader, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(503, 307, 200)
    each = job(store, leader, receiver)
    happened(store, "one", "two")
    now = datetime.now(UTC)
    assert each.run(now) == "0 sent, then HTTP 503"
    assert each.run(now) is None  # not before some time has passed
    assert each.run(now + timedelta(seconds=5)) == "0 sent, then HTTP 307"
    assert each.run(now + timedelta(seconds=15)) == "2 sent"
    assert receiver.reasons == ["one", "one", "one", "two"]
    assert len({request.headers["webhook-id"] for request in receiver.told[:3]}) == 1
    assert len({request.headers["webhook-timestamp"] for request in receiver.told[:3]}) == 3
    assert {str(request.url) for request in receiver.told} == {"http://127.0.0.1/hook"}
    assert told(store).model_dump(include={"sent", "failures", "given_up"}) == {
        "sent": 2, "failures": 2, "given_up": 0
    }  # fmt: skip
    assert "canary" not in caplog.text


def test_what_is_stale_is_given_up_and_said_so(
    database: Database, store: Connect, leader: Leader, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver(503, 200)
    each = job(store, leader, receiver)
    happened(store, "old", "new")
    each.run(datetime.now(UTC))
    with psycopg.connect(database.url) as owner:
        owner.execute("UPDATE events SET at = at - %s WHERE id = 1", (STALE_AFTER,))
    assert each.run(datetime.now(UTC) + timedelta(seconds=5)) == "1 sent"
    assert receiver.reasons == ["old", "new"]
    assert told(store).given_up == 1
    assert "alert 1 (alarm) is given up" in caplog.text


def test_it_begins_with_the_last_hour(database: Database, store: Connect, leader: Leader) -> None:
    happened(store, "yesterday", "now")
    with psycopg.connect(database.url) as owner:
        owner.execute("UPDATE events SET at = at - interval '1 day' WHERE id = 1")
    receiver = Receiver(200)
    assert job(store, leader, receiver).run(datetime.now(UTC)) == "1 sent"
    assert receiver.reasons == ["now"]


def test_an_event_that_commits_late_is_not_missed(store: Connect, leader: Leader) -> None:
    """Its number is lower than that of one that is seen before it."""
    receiver = Receiver(200)
    each = job(store, leader, receiver)
    with store() as slow:
        record_event(slow, "alarm", {"reason": "first"})
        happened(store, "second")
        assert each.run(NOW) == "events are being written"
    assert each.run(NOW) == "2 sent"
    assert receiver.reasons == ["first", "second"]


def test_what_was_sent_but_not_remembered_is_sent_again(store: Connect, leader: Leader) -> None:
    happened(store, "one")
    receiver = Receiver(200)
    each = job(store, leader, receiver)
    leader.resign()
    with pytest.raises(NotLeaderError):
        each.run(NOW)
    assert leader.leads()
    assert each.run(NOW) == "1 sent"
    assert receiver.reasons == ["one", "one"]


def test_one_that_was_overtaken_moves_nothing(store: Connect, leader: Leader) -> None:
    """Two control planes at once: the receiver is told twice, and nothing is forgotten."""
    happened(store, "one", "two")
    quick = Receiver(200)

    class Slow(Receiver):
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if not self.told:
                assert job(store, leader, quick).run(NOW) == "2 sent"
            return super().__call__(request)

    with pytest.raises(NotLeaderError, match="another control plane"):
        job(store, leader, Slow(200)).run(NOW)
    assert (told(store).after, told(store).sent) == (2, 2)
