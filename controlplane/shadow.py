"""The shadow job: silent tiers answer drawn queries too, unseen, through the data plane.

The data plane makes the call, records it and charges it; this job says which, and keeps count.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal

import httpx

from controlplane import canaries, registry
from controlplane.audit.labels import forget
from controlplane.connection import Connect, Connection
from controlplane.sql import SQL
from dataplane.contract.sections import Shadow

ROUTE = "/v1/shadow"
MAX_ATTEMPTS = 3  # one call and at most two retries

Ending = Literal["done", "failed", "expired", "pending", "shed"]
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class ShadowTerms:
    """How many shadow calls go out in one run and at once, and how long each may take."""

    at_once: int = 4
    batch: int = 64
    timeout_s: float = 60.0
    retry_after: timedelta = timedelta(seconds=5)
    text_patience: timedelta = timedelta(minutes=1)
    canaries: float = 0.1  # share of drawn queries for which the judge is shown a null answer
    most_canaries: int = 2  # in one run
    usd_per_day: float | None = None  # beyond which shadows are shed, within a batch
    local_seconds_per_day: float | None = None  # of the local tier, too
    quiet_hours: tuple[time, time] | None = None  # UTC, in which they wait

    @property
    def lease(self) -> timedelta:
        """Longer than a whole batch may take."""
        return timedelta(seconds=self.timeout_s * (self.batch / self.at_once + 1))


class ShadowJob:
    """Works off the shadow tasks; ``client`` has the data plane's address and an admin key."""

    def __init__(
        self, connect: Connect, client: httpx.Client, terms: ShadowTerms | None = None
    ) -> None:
        self._connect = connect
        self._client = client
        self._terms = terms or ShadowTerms()

    def run(self, now: datetime) -> dict[Ending, int]:
        """One batch; how many tasks ended in which way. ``pending`` ones are tried again."""
        if self._quiet(now):
            return {}
        if shed := self._shed(now):
            return {"shed": shed}
        tasks = self._lease(now)
        if not tasks:
            return {}
        with ThreadPoolExecutor(self._terms.at_once) as pool:
            endings = list(pool.map(lambda task: self._shadow(task, now), tasks))
        verdicts = self._canaries(tasks)
        with self._connect() as connection:
            if verdicts:
                canaries.keep(connection, verdicts)
            forget(connection)
        return {ending: endings.count(ending) for ending in sorted(set(endings))}

    def _quiet(self, now: datetime) -> bool:
        if self._terms.quiet_hours is None:
            return False
        (begin, end), at = self._terms.quiet_hours, now.astimezone(UTC).time()
        return begin <= at < end if begin <= end else at >= begin or at < end

    def _shed(self, now: datetime) -> int:
        """How many tasks are given up, because the last day's shadows used up a budget.

        Which queries they are of is a matter of time alone, so what is labelled stays unbiased.
        """
        terms = self._terms
        if terms.usd_per_day is None and terms.local_seconds_per_day is None:
            return 0
        with self._connect() as connection:
            asked = {"since": now - DAY, "local": registry.live(connection).local.name}
            spent = connection.execute(SQL["shadows_spent"], asked).fetchone()
            assert spent is not None
            budgets = (
                (spent["usd"], terms.usd_per_day),
                (spent["local_s"], terms.local_seconds_per_day),
            )
            if all(most is None or used < most for used, most in budgets):
                return 0
            shed = connection.execute(SQL["shed_shadow_tasks"], {"now": now}).rowcount
            forget(connection)
            return shed

    def _canaries(self, tasks: Sequence[Mapping[str, Any]]) -> list[canaries.Verdict]:
        """What the judge says of an answer that says nothing, for a few of these queries."""
        asked = [
            (task, answer)
            for task in tasks
            if task["prompt"] is not None
            and (answer := canaries.chosen(task["decision_id"], self._terms.canaries))
        ]
        told = (canaries.ask(self._client, *each) for each in asked[: self._terms.most_canaries])
        return [verdict for verdict in told if verdict is not None]

    def _lease(self, now: datetime) -> list[dict[str, Any]]:
        row = {"now": now, "until": now + self._terms.lease, "limit": self._terms.batch}
        with self._connect() as connection:
            return connection.execute(SQL["lease_shadow_tasks"], row).fetchall()

    def _shadow(self, task: Mapping[str, Any], now: datetime) -> Ending:
        ending = self._ending(task, now)
        waits = ending == "pending"
        row = {
            "at": task["at"],
            "id": task["decision_id"],
            "tier": task["tier"],
            "attempts": task["attempts"],
            "status": "leased" if waits else ending,
            "until": now + self._terms.retry_after if waits else None,
            "done_at": None if waits else now,
        }
        with self._connect() as connection:
            connection.execute(SQL["finish_shadow_task"], row)
        return ending

    def _ending(self, task: Mapping[str, Any], now: datetime) -> Ending:
        if task["answered"]:
            return "done"
        if task["prompt"] is None:
            late = task["created_at"] + self._terms.text_patience <= now
            return "expired" if late else "pending"
        answer = self._call(task)
        if answer is None:
            return "pending" if task["attempts"] < MAX_ATTEMPTS else "failed"
        return answer

    def _call(self, task: Mapping[str, Any]) -> Literal["done", "failed"] | None:
        """How the data plane says it went; None where it could not be asked, or was too busy."""
        body = {
            "decision_id": str(task["decision_id"]),
            "at": task["at"].isoformat(),
            "tier": task["tier"],
            "policy_version": task["policy_version"],
            "messages": json.loads(task["prompt"]),
            "options": json.loads(task["options"] or "{}"),
        }
        try:
            response = self._client.post(ROUTE, json=body, timeout=self._terms.timeout_s)
        except httpx.HTTPError:
            return None
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS or response.is_server_error:
            return None
        done = response.is_success and response.json().get("status") == "done"
        return "done" if done else "failed"


@dataclass(frozen=True, slots=True)
class Funnel:
    """What became of a tier's shadows that were drawn in the last day."""

    tier: str
    drawn: int
    awaited: int
    shed: int
    failed: int
    unjudgeable: int
    done: int


def funnel(connection: Connection, now: datetime) -> list[Funnel]:
    """By tier."""
    asked = {"since": now - DAY, "local": registry.live(connection).local.name}
    return [Funnel(**row) for row in connection.execute(SQL["shadow_funnel"], asked)]


def terms(stated: Shadow) -> ShadowTerms:
    """As ``penstock.yaml`` says."""
    quiet = None
    if stated.quiet_hours is not None:
        begin, _, end = stated.quiet_hours.partition("-")
        quiet = time.fromisoformat(begin), time.fromisoformat(end)
    return ShadowTerms(
        usd_per_day=stated.usd_per_day,
        local_seconds_per_day=stated.local_seconds_per_day,
        quiet_hours=quiet,
    )
