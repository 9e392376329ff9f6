"""Budgets: what each key may still spend today (UTC), known without asking the database.

Of the limit of a key this plane leases a part ahead, and spends that: no two planes hold the same
dollar, and no request waits. Before a query is answered the most that it may cost is set aside;
then what it did cost is charged. Many at once can therefore not pass the limit either. What is
leased and not needed is given back; what a plane holds at its end, its next start goes on with.
"""

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Lock
from time import monotonic

from dataplane import errors, snapshot
from dataplane.access import Principal
from dataplane.contract.keys import CHANNEL
from dataplane.feed import Connection
from dataplane.guarded_tier import MAX_TRIES
from dataplane.trail import Trail

LEASE = "SELECT penstock_lease_spend(%(key)s, %(day)s, %(usd)s) AS usd"
SHARE = 0.02  # of a limit, which a plane holds at least
HALF_LIFE_S = 30.0  # of the most that was needed at once
AHEAD = timedelta(seconds=60)  # before midnight: the next day's lease is taken, too
HASTE_S = 0.2  # between two cries for more
MESSAGE_TOKENS = 16  # what a chat template adds to a message, at most

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Lease:
    """What this plane has of one key's day, in USD.

    ``peak``: the most that was needed at once, as it fades; ``denied``: what could not be set aside
    since the database was last asked. ``spent_out``: it had no more then.
    """

    leased: float = 0.0
    spent: float = 0.0
    aside: float = 0.0
    peak: float = 0.0
    faded_s: float = field(default_factory=monotonic)
    denied: float = 0.0
    spent_out: bool = False

    @property
    def held(self) -> float:
        """Leased and not spent."""
        return self.leased - self.spent

    def set_aside(self, usd: float) -> bool:
        """Whether there was enough."""
        enough = usd <= self.held - self.aside
        if enough:
            self.aside += usd
            self.peak = max(self.peak, self.aside)
        else:
            self.denied += usd
        return enough

    def charge(self, aside: float, usd: float) -> None:
        """What was set aside came to this."""
        self.aside -= aside
        self.spent += usd

    def wanted(self, limit: float) -> float:
        """What should be held: twice what was needed of late, and what was lacking."""
        return min(max(SHARE * limit, 2 * self.peak + self.denied), limit)

    def change(self, limit: float) -> float:
        """By how much what is held should grow; 0 while it is about right."""
        wanted = self.wanted(limit)
        right = wanted / 2 <= self.held <= 2 * wanted
        return 0.0 if right and not self.denied else wanted - self.held

    def told(self, wanted: float, usd: float) -> None:
        """The database gave ``usd`` of what was wanted."""
        self.leased += usd
        self.spent_out = usd < wanted
        self.peak = max(self.peak, self.aside + self.denied)
        self.denied = 0.0

    def fade(self) -> None:
        """What was needed is needed less and less."""
        now_s = monotonic()
        self.peak = max(self.aside, self.peak * 0.5 ** ((now_s - self.faded_s) / HALF_LIFE_S))
        self.faded_s = now_s


class Budgets:
    """The leases of this plane; a source of the feed.

    ``limits``: USD a day by key. ``path``: where what is left waits for the next start, if it does.
    """

    channel = CHANNEL

    def __init__(
        self, limits: Callable[[], Mapping[str, float]] = dict, path: Path | None = None
    ) -> None:
        self.refused = 0
        self.hasten: Callable[[], None] = _nothing
        self._path = path
        self._limits = limits
        self._lock = Lock()
        self._cried_s = 0.0
        self._leases = _leases(snapshot.take(path) if path else None)

    @contextmanager
    def charging(
        self, principal: Principal, most_usd: Callable[[], float], cost_usd: Callable[[], float]
    ) -> Iterator[None]:
        """Set aside the most that a query may cost, and at its end charge what it did cost.

        Neither is asked where the key has no limit. Raises ``ApiError`` 429 where it has no more.
        """
        limit = principal.spend_usd_per_day
        if limit is None:
            yield
            return
        usd = most_usd()
        lease = self._set_aside(principal.key_id, limit, usd)
        try:
            yield
        finally:
            with self._lock:
                lease.charge(usd, cost_usd())

    def refresh(self, connection: Connection) -> None:
        """Take and give back; see ``feed.Source``."""
        now = datetime.now(UTC)
        for key, limit in self._limits().items():
            for day in sorted({now.date(), (now + AHEAD).date()}):
                self._keep_up(connection, key, day, limit)
        with self._lock:
            for past in [each for each in self._leases if each[1] < now.date() - timedelta(days=1)]:
                del self._leases[past]

    def keep(self) -> None:
        """At the end: what is left of today waits on disk for the next start."""
        today = datetime.now(UTC).date()
        with self._lock:
            held = {key: each.held for (key, day), each in self._leases.items() if day == today}
            self._leases.clear()
        body = {"day": today.isoformat(), "usd": {key: usd for key, usd in held.items() if usd > 0}}
        if self._path is None:
            return
        try:
            snapshot.write(self._path, json.dumps(body))
        except OSError as error:
            log.warning("what keys may still spend today could not be kept: %s", error)

    def _set_aside(self, key: str, limit: float, usd: float) -> Lease:
        if usd > limit:
            self.refused += 1
            raise _never(limit, usd)
        with self._lock:
            lease = self._lease(key, datetime.now(UTC).date())
            enough = lease.set_aside(usd)
            low = lease.held - lease.aside < lease.wanted(limit) / 4
            over = lease.spent_out and not lease.aside  # else what is set aside may come free
        if low:
            self._cry()
        if not enough:
            self.refused += 1
            raise _spent(limit) if over else errors.budget_behind()
        return lease

    def _keep_up(self, connection: Connection, key: str, day: date, limit: float) -> None:
        """Hold about what is wanted; a dollar is given up here before it is given back."""
        with self._lock:
            lease = self._lease(key, day)
            lease.fade()
            usd = lease.change(limit)
            lease.leased += min(usd, 0.0)
        if not usd:
            return
        found = connection.execute(LEASE, {"key": key, "day": day, "usd": usd}).fetchone()
        if usd > 0 and found is not None:
            with self._lock:
                lease.told(usd, found["usd"])

    def _lease(self, key: str, day: date) -> Lease:
        """With the lock held."""
        return self._leases.setdefault((key, day), Lease())

    def _cry(self) -> None:
        """Ask the feed for more, but not for each of many requests."""
        if monotonic() - self._cried_s >= HASTE_S:
            self._cried_s = monotonic()
            self.hasten()


def most_usd(trail: Trail, body_bytes: int) -> float:
    """The most that this query may cost: each tier that may be asked fails once, and answers.

    A prompt has fewer tokens than its request has bytes, but for what a template adds; how long an
    answer may be is in the body, where the key has a limit.
    """
    body = trail.query.body
    prompt = body_bytes + MESSAGE_TOKENS * (1 + len(trail.query.messages))
    answer = max(body.get(name) or 0 for name in ("max_completion_tokens", "max_tokens"))
    tiers = [tier for tier in trail.policy.tiers if tier.name in trail.tiers_left]
    calls = sum(tier.cost_usd(prompt, answer) for tier in tiers)
    return MAX_TRIES * calls + trail.policy.judge.cost_usd


def _never(limit: float, usd: float) -> errors.ApiError:
    said = f"this request may cost {usd:.4g} USD, and its key may spend {limit:.4g} a day"
    return errors.over_budget(f"{said}: ask for fewer max_tokens")


def _spent(limit: float) -> errors.ApiError:
    return errors.over_budget(f"the key has spent or set aside its {limit:.4g} USD of today (UTC)")


def _leases(kept: str | None) -> dict[tuple[str, date], Lease]:
    if kept is None:
        return {}
    body = json.loads(kept)
    day = date.fromisoformat(body["day"])
    return {(key, day): Lease(leased=usd) for key, usd in body["usd"].items()}


def _nothing() -> None:
    """Before there is a feed."""
