"""A store with a past: a few hundred plausible queries, written by its owner, always the same."""

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from controlplane.connection import connect
from controlplane.database import Database
from controlplane.rollups import add
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import (
    Attempt,
    Completion,
    Decision,
    Draw,
    JudgeScore,
    Outcome,
    Record,
    millisecond,
    outcome_id,
)
from dataplane.contract.terms import AuditTerms, QualityTarget, TierTerms
from dataplane.features import FEATURE_VERSION
from tests.policies import policy

SPAN = timedelta(minutes=50)
LOCAL = TierTerms(
    name="local", input_usd_per_mtok=0.05, output_usd_per_mtok=0.05, chars_per_token=1
)
CLOUD = TierTerms(
    name="cloud", input_usd_per_mtok=2.5, output_usd_per_mtok=10.0,
    overhead_tokens=7.5, completion_tokens=2.0,
)  # fmt: skip
INSERT = """
INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, %s || jsonb_build_object(
    'plane', 'seeded', 'spool_segment', 1, 'offset', %s))).*
"""
SETTLE = """
INSERT INTO labels (at, decision_id, key, value, source, basis)
SELECT at, decision_id, key, value, source, 'single' FROM outcomes
"""

WAITING = """
WITH chosen AS (
    SELECT c.at, c.decision_id, row_number() OVER (ORDER BY c.at, c.decision_id) AS n
    FROM completions c WHERE c.status = 'ok' AND NOT EXISTS (
        SELECT FROM draws d WHERE d.at = c.at AND d.decision_id = c.decision_id
    ) ORDER BY c.at, c.decision_id LIMIT %(queries)s
), opened AS (
    INSERT INTO label_tasks (at, decision_id, probability, answers, waits_for_shadow)
    SELECT at, decision_id, 0.2, '[]', false FROM chosen
)
INSERT INTO texts (at, decision_id, key, body, plane, spool_segment, "offset")
SELECT at, decision_id, 'prompt', jsonb_build_array(
    jsonb_build_object('role', 'system', 'content', 'Answer in a few words.'),
    jsonb_build_object('role', 'user', 'content', 'What is ' || n || ' + 0? *No* <b>guesses</b>.')
)::text, 'seeded', 1, 0 FROM chosen
UNION ALL
SELECT c.at, c.decision_id, 'answer:' || a.tier,
    CASE a.tier WHEN 'local' THEN 'It is ' ELSE 'That makes ' END || c.n || '. **Sure**.',
    'seeded', 1, 0
FROM chosen c
JOIN attempts a ON a.at = c.at AND a.decision_id = c.decision_id AND a.purpose = 'serve'
"""


@dataclass(frozen=True, slots=True)
class Past:
    """How many queries, until when, audited at which rate, answered by which cloud."""

    until: datetime
    queries: int = 400
    audit_rate: float = 0.2
    cloud_model: str = "SIMULATED-cloud"
    seed: int = 7


def seed(owner_url: str, past: Past) -> None:
    """Write that past into a migrated store."""
    with psycopg.connect(owner_url) as owner:
        _publish(owner, past)
        with owner.cursor() as cursor:
            for offset, record in enumerate(_records(past)):
                body = Jsonb(json.loads(record.model_dump_json()))
                cursor.execute(INSERT.format(table=record.table).encode(), (body, offset))
            cursor.execute(SETTLE)
        _estimate(owner, past)
        owner.execute(
            "INSERT INTO events (at, kind, body) VALUES (%s, 'alarm', %s)",
            (past.until - SPAN / 3, Jsonb({"reason": "local answers got worse: *bins* moved"})),
        )


def wait_for_labels(owner_url: str, queries: int) -> None:
    """Let so many answered queries of that past, the oldest, wait for a person's label."""
    with psycopg.connect(owner_url) as owner:
        owner.execute(WAITING, {"queries": queries})


def earlier(owner_url: str, past: Past) -> None:
    """Write the records of a past before that of ``seed``, whose policies and labels they share."""
    with psycopg.connect(owner_url) as owner, owner.cursor() as cursor:
        for offset, record in enumerate(_records(past), start=1_000_000):
            body = Jsonb(json.loads(record.model_dump_json()))
            cursor.execute(INSERT.format(table=record.table).encode(), (body, offset))


def _policies(past: Past) -> Iterator[PolicyDocument]:
    shapes = [("always_cloud", 0.0), *(("cascade", 0.1 + 0.15 * step) for step in range(6))]
    for version, (mode, lambda_) in enumerate(shapes, start=1):
        yield policy(
            mode,  # type: ignore[arg-type]  # mypy reads the list's words as mere strings
            lambda_=lambda_,
            version=version,
            parent=version - 1 or None,
            author="learner" if version > 1 else "operator",
            tiers=(LOCAL, CLOUD),
            cost_unit_usd=1e-4,
            objective=QualityTarget(target_quality=0.9),
            audit=AuditTerms(rate=past.audit_rate, label_price_usd=0.002),
        )


def _publish(owner: psycopg.Connection, past: Past) -> None:
    documents = list(_policies(past))
    for seq, document in enumerate(documents, start=1):
        at = past.until - SPAN + SPAN * (seq - 1) / len(documents)
        owner.execute(
            "INSERT INTO policies (version, parent, kind, author, reason, digest, document)"
            " VALUES (%s, %s, 'retune', %s, 'seeded', %s, %s)",
            (seq, document.parent, document.author, document.digest(), document.to_json().decode()),
        )
        owner.execute(
            "INSERT INTO publications (seq, parent, in_force, reason, published_at)"
            " VALUES (%s, %s, %s, 'judge cutoff follows its labels', %s)",
            (seq, seq - 1 or None, Jsonb([{"version": seq, "share": 1.0}]), at),
        )


def _records(past: Past) -> Iterator[Record]:
    chance = random.Random(past.seed)
    for number in range(past.queries):
        at = past.until - SPAN + SPAN * (number + 0.5) / past.queries
        yield from _query(past, at, chance, version=1 + 7 * number // past.queries)


def _query(past: Past, at: datetime, chance: random.Random, version: int) -> Iterator[Record]:
    decision_id = _uuid7(at, chance)
    of: dict[str, Any] = {"decision_id": decision_id, "at": millisecond(decision_id)}
    chars = chance.randint(10, 60)
    right = chance.random() < 0.75
    raw = -abs(chance.gauss(0.15 if right else 0.9, 0.3))
    calibrated = 1 / (1 + math.exp(-2.2 - 4 * raw - chance.gauss(0.6, 0.3)))
    escalates = version > 1 and calibrated < 0.6
    yield Decision(
        id=decision_id, at=of["at"], tenant="default", request_id="r", policy_version=version,
        feature_version=FEATURE_VERSION, features={"chars": chars, "buckets": [1]},
        segment="default", eligible=("local", "cloud"), seed=chance.getrandbits(62),
    )  # fmt: skip
    tiers = ["cloud"] if version == 1 else ["local", "cloud"] if escalates else ["local"]
    attempts = [_attempt(of, tier, "serve", index, chars, past) for index, tier in enumerate(tiers)]
    yield from attempts
    if tiers[0] == "local":
        yield JudgeScore(
            **of, index=0, purpose="serve", judge="logprob", tier="local", raw=raw,
            bin=0, calibrated=calibrated,
        )  # fmt: skip
    failed = chance.random() < 0.02
    yield Completion(
        **of, final_tier=None if failed else tiers[-1], escalated=escalates,
        cost_usd=sum(one.cost_usd for one in attempts),
        latency_ms=sum(one.latency_ms for one in attempts) * chance.uniform(1, 2) + 1,
        overhead_ms=1.0, status="error" if failed else "ok",
    )  # fmt: skip
    if not failed and chance.random() < 0.05 and tiers == ["local"]:
        yield Draw(**of, kind="shadow", tier="cloud", probability=0.05)
        yield _attempt(of, "cloud", "shadow", 0, chars, past)
    if not failed and chance.random() < past.audit_rate:
        yield Draw(**of, kind="audit", probability=past.audit_rate)
        for tier in tiers:
            yield _label(of, tier, right if tier == "local" else chance.random() < 0.95)


def _attempt(
    of: dict[str, Any], tier: str, purpose: str, index: int, chars: int, past: Past
) -> Attempt:
    terms, model = (LOCAL, "tiny") if tier == "local" else (CLOUD, past.cloud_model)
    prompt, completion = int(terms.overhead_tokens + chars / terms.chars_per_token) + 1, 3
    return Attempt.model_validate(
        of
        | {
            "index": index, "tier": tier, "model": model, "purpose": purpose,
            "prompt_tokens": prompt, "completion_tokens": completion, "tokens_exact": True,
            "cost_usd": terms.cost_usd(prompt, completion),
            "latency_ms": 18.0 if tier == "local" else 240.0, "finish": "stop",
        }
    )  # fmt: skip


def _label(of: dict[str, Any], tier: str, right: bool) -> Outcome:
    decision_id, labeller = of["decision_id"], "SIMULATED-verifier"
    return Outcome.model_validate(
        of
        | {
            "id": outcome_id(decision_id, tier, "verifier", labeller), "key": tier,
            "source": "verifier", "labeller": labeller, "value": float(right),
            "observed_at": datetime.now(UTC),
        }
    )  # fmt: skip


def _estimate(owner: psycopg.Connection, past: Past) -> None:
    """As the cycle writes them: two windows, more labels each time."""
    for step in range(1, 41):
        at, labels = past.until - SPAN + SPAN * step / 40, int(past.queries * step / 40 * 0.2)
        quality = 0.93 - 0.02 * math.sin(step / 6) + 0.02 / step
        reach = 1.96 * math.sqrt(quality * (1 - quality) / max(labels, 1))
        for window in ("run", "last_1000_labels"):
            owner.execute(
                'INSERT INTO estimates (at, policy_version, "window", n, quality, lo, hi, detail)'
                " VALUES (%s, 1, %s, %s, %s, %s, %s, %s)",
                (
                    at, window, step * past.queries // 40, quality, quality - reach,
                    min(quality + reach, 1), Jsonb({"labels": labels, "silent_share": 0.05}),
                ),
            )  # fmt: skip


def _uuid7(at: datetime, chance: random.Random) -> UUID:
    milliseconds = int(at.timestamp() * 1000)
    tail = chance.getrandbits(62)
    return UUID(int=milliseconds << 80 | 7 << 76 | chance.getrandbits(12) << 64 | 2 << 62 | tail)


def shipped(owner_url: str) -> None:
    """Say that all rows have arrived, as a recorder does in their transaction."""
    with psycopg.connect(owner_url) as owner:
        owner.execute(
            "INSERT INTO shipments (plane, segment, first_offset, last_offset, rows)"
            " VALUES ('seeded', 1, 0, 10000000, 0) ON CONFLICT DO NOTHING"
        )


def added_up(database: Database) -> None:
    """All rows have arrived, and are in the sums."""
    shipped(database.url)
    with connect(database.url_for("penstock_controlplane")) as connection:
        add(connection, 100_000_000)


def told(owner_url: str, until: datetime, reports: int = 30, **changes: Any) -> None:
    """Reports of two data planes, one every ten seconds; ``changes`` to the last one's spool."""
    with psycopg.connect(owner_url) as owner:
        for number in range(reports):
            at = until - timedelta(seconds=10 * (reports - 1 - number))
            for plane in ("plane-a", "plane-b"):
                spool = {
                    "pending_records": number % 7, "pending_bytes": 900, "dropped": 0,
                    "oldest_pending_seconds": 0.2, "quarantined": 0, "damaged_segments": 0,
                    "last_error": None,
                }  # fmt: skip
                last = number == reports - 1 and plane == "plane-a"
                tier = {"unavailable": None, "failures_in_a_row": 0, "restarts": 0}
                engine = {
                    "slots": 8, "slots_busy": number % 9, "queue_depth": max(number - 25, 0),
                    "memory_rss_bytes": (300 + number) << 20,
                }  # fmt: skip
                body = {
                    "spool": spool | (changes if last else {}),
                    "tiers": {"local": tier | engine, "cloud": tier},
                }
                owner.execute(
                    "INSERT INTO plane_reports (plane, at, body) VALUES (%s, %s, %s)",
                    (plane, at, Jsonb(body)),
                )


def ran(owner_url: str, at: datetime, **endings: str) -> None:
    """Jobs that ran once, each with its status."""
    with psycopg.connect(owner_url) as owner:
        for job, status in endings.items():
            owner.execute(
                "INSERT INTO job_runs (job, due_at, plane, started_at, finished_at, status, detail)"
                " VALUES (%s, %s, 'box:42:20260101T000000', %s, %s, %s, 'no luck')",
                (job, at, at, at + timedelta(milliseconds=80), status),
            )
