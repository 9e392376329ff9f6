"""Queries decided by the gateway's own trail, at whatever time, as the tables keep them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.records import Completion, Record
from dataplane.query import Query
from dataplane.strategies import JUDGE, REPLY
from dataplane.tiers.base import Answer, Usage
from dataplane.trail import Eligibility, Trail

LATENCY_MS = {"local": 18.0, "cloud": 240.0}
SAYS = {"local": "Paris, I think", "cloud": "Paris."}
INSERT = """
INSERT INTO {table} SELECT (jsonb_populate_record(NULL::{table}, %s || jsonb_build_object(
    'plane', 'decided', 'spool_segment', 1, 'offset', %s))).* ON CONFLICT DO NOTHING
"""
_numbers = count()


def decided(
    policy: PolicyDocument,
    prompt: str,
    score: float,
    at: datetime,
    *,
    says: Mapping[str, str] = SAYS,
    tenant: str = "acme",
    request_id: str = "request-1",
) -> Sequence[Record]:
    """One query from its admission to its completion; its texts are kept."""
    body = {"messages": [{"role": "user", "content": prompt}]}
    query = Query(request_id, tenant, None, body)
    eligible = Eligibility(("local", "cloud", JUDGE), {})
    trail = Trail(_id(at), query, policy, eligible, timeout_s=60.0)
    while (action := trail.choose()) != REPLY:
        if action == JUDGE:
            trail.judged(score)
        else:
            tier = action.removeprefix("call:")
            trail.answered(tier, _answer(tier, says[tier]))
    trail.complete("ok", "all")
    return [_timed(record, trail) for record in trail.take()]


def keep(owner_url: str, records: Sequence[Record]) -> None:
    """Write them, as the owner."""
    with psycopg.connect(owner_url) as owner:
        for record in records:
            body = Jsonb(json.loads(record.model_dump_json()))
            owner.execute(INSERT.format(table=record.table).encode(), (body, next(_numbers)))


def _answer(tier: str, text: str) -> Answer:
    return Answer(
        text=text, finish="stop", usage=Usage(12, 4, exact=True), model=f"{tier}-model",
        message={"role": "assistant", "content": text}, logprobs=None,
        latency_ms=LATENCY_MS[tier], ttft_ms=LATENCY_MS[tier] / 3, tokens_per_s=120.0,
    )  # fmt: skip


def _timed(record: Record, trail: Trail) -> Record:
    """No time passes in a test: the calls take what they say they do."""
    if not isinstance(record, Completion):
        return record
    taken = sum(answer.latency_ms for answer in trail.answers.values()) + 2.0
    return record.model_copy(update={"latency_ms": taken, "overhead_ms": 2.0})


def _id(at: datetime) -> UUID:
    tail = 0x7 << 76 | 0x2 << 62 | next(_numbers)
    return UUID(int=int(at.timestamp() * 1000) << 80 | tail)
