"""Null-answer canaries: drawn queries for which the judge is shown an answer that says nothing.

They ride with the shadow job, for a share of its tasks that is fixed by the query's id; the data
plane asks the judge. What is kept is one row of counts by judge.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from uuid import UUID

import httpx

from controlplane import states
from controlplane.connection import Connection
from controlplane.stats import Interval, clopper_pearson

ROUTE = "/v1/canary"
STATE = "canaries"
ANSWERS = (":", "Thought process:", ".", "Let's solve this problem step by step.", " ")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a judge said of one canary; ``reason`` where it cannot be asked at all."""

    judge: str
    answer: str
    accepted: bool
    reason: str | None


@dataclass(frozen=True, slots=True)
class Canaries:
    """What became of a judge's canaries; ``reason`` says why it cannot be asked, where it cannot.

    ``accepted`` is the share that passed, None before the first; ``passed`` are those that did.
    """

    asked: int
    accepted: Interval | None
    passed: tuple[str, ...]
    reason: str | None


def chosen(decision_id: UUID, share: float) -> str | None:
    """The canary of a query, None for most: fixed by its id.

    >>> sum(chosen(UUID(int=number), 0.1) is not None for number in range(1_000))
    97
    """
    digest = blake2b(f"canary/{decision_id}".encode(), digest_size=8).digest()
    number = int.from_bytes(digest)
    return ANSWERS[number % len(ANSWERS)] if number < share * 2**64 else None


def ask(client: httpx.Client, task: Mapping[str, Any], answer: str) -> Verdict | None:
    """One canary for a shadow task's query; None where the data plane could not be asked."""
    body = {
        "decision_id": str(task["decision_id"]),
        "at": task["at"].isoformat(),
        "messages": json.loads(task["prompt"]),
        "answer": answer,
    }
    try:
        response = client.post(ROUTE, json=body)
    except httpx.HTTPError:
        return None
    if not response.is_success:
        return None
    said = response.json()
    return Verdict(said["judge"], answer, said["accepted"], said["reason"])


def keep(connection: Connection, verdicts: Sequence[Verdict]) -> None:
    """Count them."""
    states.lock(connection, STATE, "{}")
    counts = states.load_value(connection, STATE, default={})
    for each in verdicts:
        told = counts.setdefault(each.judge, {"asked": {}, "passed": {}, "reason": None})
        told["reason"] = each.reason
        if each.reason is None:
            told["asked"][each.answer] = told["asked"].get(each.answer, 0) + 1
            told["passed"][each.answer] = told["passed"].get(each.answer, 0) + each.accepted
    states.save_value(connection, STATE, counts)


def of(connection: Connection, judge: str) -> Canaries:
    """What is known of a judge's canaries."""
    told = states.load_value(connection, STATE, default={}).get(judge)
    if told is None:
        return Canaries(0, None, (), None)
    asked, passed = sum(told["asked"].values()), sum(told["passed"].values())
    share = clopper_pearson(passed, asked) if asked else None
    which = tuple(answer for answer, count in told["passed"].items() if count)
    return Canaries(asked, share, which, told["reason"])
