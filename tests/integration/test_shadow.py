"""The shadow job on real tables, against a scripted data plane."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from controlplane import canaries, push
from controlplane.connection import Connect
from controlplane.database import Database
from controlplane.observations import Used
from controlplane.observe import PostgresLog
from controlplane.shadow import MAX_ATTEMPTS, ShadowJob, ShadowTerms, funnel, terms
from dataplane.contract.sections import Shadow
from dataplane.strategies import Drawn
from tests.command import penstock
from tests.policies import policy
from tests.traffic import AUDIT, PostgresTraffic, query, shadow

SHADOW = Drawn("shadow", 0.05, "cloud")
TERMS = ShadowTerms(canaries=0.0)


class ScriptedDataPlane:
    """Answers shadow calls as told, the last answer for ever; remembers what it was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, object]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(json.loads(request.content))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer.status_code, json=answer.json())

    def job(self, store: Connect, terms: ShadowTerms = TERMS) -> ShadowJob:
        client = httpx.Client(base_url="http://plane", transport=httpx.MockTransport(self))
        return ShadowJob(store, client, terms)


def said(status: str, code: int = 200) -> httpx.Response:
    return httpx.Response(code, json={"status": status, "cost_usd": 0.01})


@pytest.fixture
def traffic(database: Database, store: Connect) -> PostgresTraffic:
    traffic = PostgresTraffic(database.url)
    traffic.complete(query(1), [SHADOW])
    with store() as connection:
        PostgresLog(connection).new({})
    return traffic


def statuses(store: Connect) -> Sequence[str]:
    with store() as connection:
        return [row["status"] for row in connection.execute("SELECT status FROM shadow_tasks")]


def words(store: Connect) -> int:
    with store() as connection:
        return len(connection.execute("SELECT FROM texts").fetchall())


def test_a_shadow_is_asked_once_and_its_words_are_forgotten(
    traffic: PostgresTraffic, store: Connect
) -> None:
    plane = ScriptedDataPlane(said("done"))
    job = plane.job(store)
    assert job.run(datetime.now(UTC)) == {"done": 1}
    assert job.run(datetime.now(UTC)) == {}
    (asked,) = plane.asked
    assert asked["messages"] == [{"role": "user", "content": "3 + 4 ="}]
    assert asked["options"] == {"temperature": 0}
    assert (asked["tier"], asked["policy_version"]) == ("cloud", 1)
    assert (asked["decision_id"], asked["at"]) == (
        str(query(1).decision_id),
        query(1).at.isoformat(),
    )
    assert statuses(store) == ["done"]
    assert words(store) == 0


def test_words_that_a_label_still_needs_are_kept(traffic: PostgresTraffic, store: Connect) -> None:
    traffic.complete(query(2), [AUDIT, SHADOW])
    with store() as connection:
        PostgresLog(connection).new({})
    ScriptedDataPlane(said("done")).job(store).run(datetime.now(UTC))
    assert statuses(store) == ["done", "done"]
    assert words(store) == 3  # of the audited one: prompt, options and answer


@pytest.mark.parametrize(
    "trouble", [httpx.ConnectError("refused"), said("busy", 429), said("broken", 503)]
)
def test_a_data_plane_in_trouble_is_asked_again_and_then_no_more(
    traffic: PostgresTraffic, store: Connect, trouble: httpx.Response | Exception
) -> None:
    plane = ScriptedDataPlane(trouble)
    job, now = plane.job(store), datetime.now(UTC)
    for attempt in range(1, MAX_ATTEMPTS + 1):
        ended = job.run(now)
        assert ended == ({"failed": 1} if attempt == MAX_ATTEMPTS else {"pending": 1})
        assert job.run(now) == {}  # not before some time has passed
        now += TERMS.retry_after + timedelta(seconds=1)
    assert job.run(now) == {}
    assert (len(plane.asked), statuses(store)) == (MAX_ATTEMPTS, ["failed"])


def test_it_recovers_on_a_retry(traffic: PostgresTraffic, store: Connect) -> None:
    job = ScriptedDataPlane(httpx.ReadTimeout("slow"), said("done")).job(store)
    now = datetime.now(UTC)
    assert job.run(now) == {"pending": 1}
    assert job.run(now + TERMS.retry_after) == {"done": 1}


def test_what_was_answered_after_its_holder_was_killed_is_not_asked_again(
    traffic: PostgresTraffic, store: Connect
) -> None:
    """The data plane made the call and recorded it; nobody was left to be told."""

    def killed(_: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    client = httpx.Client(base_url="http://plane", transport=httpx.MockTransport(killed))
    now = datetime.now(UTC)
    with pytest.raises(KeyboardInterrupt):
        ShadowJob(store, client, TERMS).run(now)
    traffic.shipping.ship(shadow(replace(query(1), used={"cloud": Used(10, 2)}), "cloud"))
    plane = ScriptedDataPlane(said("done"))
    assert plane.job(store).run(now) == {}  # it may be under way yet
    assert plane.job(store).run(now + TERMS.lease) == {"done": 1}
    assert plane.asked == []
    assert words(store) == 0


@pytest.mark.parametrize("refusal", [said("failed"), said("forbidden", 403)])
def test_a_refusal_is_final(
    traffic: PostgresTraffic, store: Connect, refusal: httpx.Response
) -> None:
    assert ScriptedDataPlane(refusal).job(store).run(datetime.now(UTC)) == {"failed": 1}
    assert statuses(store) == ["failed"]


def test_a_task_whose_words_are_gone_expires(
    database: Database, traffic: PostgresTraffic, store: Connect
) -> None:
    with psycopg.connect(database.url) as owner:
        owner.execute("DELETE FROM texts")
    plane = ScriptedDataPlane(said("done"))
    job, now = plane.job(store), datetime.now(UTC)
    assert job.run(now) == {"pending": 1}
    assert job.run(now + TERMS.text_patience + timedelta(seconds=1)) == {"expired": 1}
    assert plane.asked == []


def judged(*, accepted: bool) -> httpx.Response:
    ending = {"judge": "llm", "status": "judged", "accepted": accepted, "reason": None}
    return httpx.Response(200, json=ending)


def test_a_few_drawn_queries_carry_a_canary_and_what_passes_is_shown(
    traffic: PostgresTraffic, store: Connect
) -> None:
    """Each query has at most one; the shadows are asked first, and only so many canaries a run."""
    for number in range(2, 6):
        traffic.complete(query(number), [SHADOW])
    with store() as connection:
        PostgresLog(connection).new({})
    plane = ScriptedDataPlane(*[said("done")] * 5, judged(accepted=True), judged(accepted=False))
    always = ShadowTerms(canaries=1.0, most_canaries=2, at_once=1)
    assert plane.job(store, always).run(datetime.now(UTC)) == {"done": 5}
    shown = [asked["answer"] for asked in plane.asked if "answer" in asked]
    assert len(plane.asked) == 7
    assert set(shown) <= set(canaries.ANSWERS)
    with store() as connection:
        found = canaries.of(connection, "llm")
        unknown = canaries.of(connection, "logprob")
    assert found.accepted is not None
    assert (found.asked, found.accepted.estimate, found.passed) == (2, 0.5, (shown[0],))
    assert (unknown.asked, unknown.accepted, unknown.reason) == (0, None, None)


def test_a_judge_that_cannot_be_shown_a_canary_says_why(
    traffic: PostgresTraffic, store: Connect
) -> None:
    why = "it reads the log-probabilities of its tier's own tokens: a canary has none"
    ending = {"judge": "logprob", "status": "not_applicable", "accepted": False, "reason": why}
    plane = ScriptedDataPlane(said("done"), httpx.Response(200, json=ending))
    plane.job(store, ShadowTerms(canaries=1.0)).run(datetime.now(UTC))
    with store() as connection:
        found = canaries.of(connection, "logprob")
    assert (found.asked, found.accepted, found.reason) == (0, None, why)


def test_a_data_plane_without_canaries_does_no_harm(
    traffic: PostgresTraffic, store: Connect
) -> None:
    plane = ScriptedDataPlane(said("done"), httpx.Response(404, json={}))
    assert plane.job(store, ShadowTerms(canaries=1.0)).run(datetime.now(UTC)) == {"done": 1}
    with store() as connection:
        assert canaries.of(connection, "logprob").asked == 0


@pytest.mark.parametrize(
    ("stated", "ended"),
    [
        ({"usd_per_day": 0.0}, {"shed": 1}),
        ({"usd_per_day": 1e6}, {"done": 1}),
        ({"local_seconds_per_day": 0.0}, {"shed": 1}),
        ({"local_seconds_per_day": 1e6, "usd_per_day": 1e6}, {"done": 1}),
    ],
)
def test_what_a_budget_does_not_pay_is_shed(
    traffic: PostgresTraffic, store: Connect, stated: dict[str, Any], ended: dict[str, int]
) -> None:
    with store() as connection:
        push.publish(connection, policy())
    plane = ScriptedDataPlane(said("done"))
    job = plane.job(store, replace(TERMS, **stated))
    assert job.run(datetime.now(UTC)) == ended
    assert statuses(store) == list(ended)
    assert words(store) == 0
    assert len(plane.asked) == ended.get("done", 0)
    with store() as connection:
        (told,) = funnel(connection, query(1).at)
    assert (told.tier, told.drawn, told.shed, told.done) == (
        "cloud", 1, ended.get("shed", 0), ended.get("done", 0),
    )  # fmt: skip


def test_what_shadows_were_billed_counts_against_the_budget(
    traffic: PostgresTraffic, store: Connect, database: Database
) -> None:
    with store() as connection:
        push.publish(connection, policy())
    seen = replace(query(1), used={"cloud": Used(10, 2)})
    traffic.shipping.ship(shadow(seen, "cloud"))
    with psycopg.connect(database.url) as owner:
        owner.execute("UPDATE attempts SET cost_usd = 0.5 WHERE purpose = 'shadow'")
    now = seen.at + timedelta(hours=1)
    for most, ended in ((0.6, "done"), (0.5, "shed")):
        traffic.complete(query(2 if ended == "done" else 3), [SHADOW])
        with store() as connection:
            PostgresLog(connection).new({})
        job = ScriptedDataPlane(said("done")).job(store, replace(TERMS, usd_per_day=most))
        assert list(job.run(now)) == [ended]


@pytest.mark.parametrize(
    ("begin", "end", "hour", "waits"),
    [(22, 6, 23, True), (22, 6, 5, True), (22, 6, 6, False), (9, 17, 12, True), (9, 17, 20, False)],
)
def test_in_quiet_hours_they_wait(
    traffic: PostgresTraffic, store: Connect, begin: int, end: int, hour: int, waits: bool
) -> None:
    quiet = replace(TERMS, quiet_hours=(time(begin), time(end)))
    now = datetime.now(UTC).replace(hour=hour, minute=30)
    ended = ScriptedDataPlane(said("done")).job(store, quiet).run(now)
    assert ended == ({} if waits else {"done": 1})
    assert statuses(store) == (["pending"] if waits else ["done"])


def test_terms_are_those_of_the_configuration() -> None:
    stated = Shadow(usd_per_day=5, local_seconds_per_day=60, quiet_hours="22:00-06:30")
    found = terms(stated)
    assert (found.usd_per_day, found.local_seconds_per_day) == (5, 60)
    assert found.quiet_hours == (time(22), time(6, 30))
    assert terms(Shadow()).quiet_hours is None
    with pytest.raises(ValueError, match="quiet_hours"):
        Shadow(quiet_hours="10 to 6")


def test_the_command_says_what_became_of_them(
    traffic: PostgresTraffic,
    store: Connect,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = penstock(database, monkeypatch, capsys)
    with store() as connection:
        push.publish(connection, policy())
    assert run("shadow", "status") == "no shadow was drawn in the last day\n"
    assert json.loads(run("shadow", "status", "--json")) == []
    monkeypatch.delenv("PENSTOCK_DATAPLANE_KEY", raising=False)
    assert "PENSTOCK_DATAPLANE_KEY is unset" in run("shadow", "run", code=2)
    monkeypatch.setenv("PENSTOCK_DATAPLANE_KEY", "pk_0_0")
    assert run("shadow", "run", "--url", "http://127.0.0.1:9") == "1 pending\n"
