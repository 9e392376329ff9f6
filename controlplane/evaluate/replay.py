"""Serve recorded queries by the very strategies that serve live ones, learner included.

A row holds what each tier would have answered. The loop reveals an outcome or a score only through
the path taken or a draw, so permuting what stays unrevealed leaves every decision as it was.
"""

import random
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

import numpy as np

from controlplane.audit.certificates import Certifier, Event
from controlplane.audit.diagnosis import Diagnosis
from controlplane.audit.trust import News, Trust
from controlplane.cycle import turn
from controlplane.learn.learner import Learner
from controlplane.observations import Observation, Used
from controlplane.observe import Log, MemoryLog, Watermark
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import TierTerms
from dataplane.features import Features
from dataplane.strategies import JUDGE, Drawn, Queries, State, call, courses, draw
from dataplane.strategies.base import CALL
from dataplane.strategies.draws import on_trial

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded query: what each tier's answer is worth and costs, and the local one's score.

    ``used``: the tokens of each, where they were recorded; costs tell of them otherwise.
    """

    features: Features
    worth: tuple[float, ...]
    usd: tuple[float, ...]
    score: float | None = None
    judge_usd: float = 0.0
    used: tuple[Used, ...] | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """What one query came to."""

    at: int
    policy_version: int
    actions: tuple[str, ...]
    quality: float
    cost_usd: float
    shadow_usd: float
    labels: int


@dataclass(frozen=True, slots=True)
class Delay:
    """How late a label comes, in queries, and how often it never does."""

    least: int = 0
    most: int = 0
    silent: float = 0.0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A label on its way."""

    due: int
    decision_id: UUID
    right: dict[str, float]
    score: float | None


class ReplayLog(Log, Protocol):
    """A log that a replay fills as it goes; see ``MemoryLog``."""

    @property
    def pending(self) -> Collection[UUID]:
        """Decisions whose answers want labels."""
        ...

    def complete(self, observation: Observation, drawn: Iterable[Drawn] = ()) -> None:
        """One more answered query, and the draws that fell on it."""
        ...

    def resolve(
        self, decision_id: UUID, right: Mapping[str, float], score: float | None = None
    ) -> None:
        """The answers' labels by tier, and the judge's score of a shadow's local answer."""
        ...


class Replay:
    """One pass of a learner over rows; ``policies`` are the versions that served, in order.

    ``gated``: the judge is on trial where the start policy does not trust it. ``diagnosis``: says
    what drifted, where one is set.
    """

    def __init__(
        self,
        start: PolicyDocument,
        learner: Learner | None,
        *,
        seed: int = 0,
        delay: Delay | None = None,
        every: int = 50,
        log: ReplayLog | None = None,
        gated: bool = False,
        certifier: Certifier | None = None,
    ) -> None:
        self.policies = [start]
        self.trust = Trust(self._document) if gated else None
        self.news: list[News] = []
        self.learner = learner
        self.alarms: list[str] = []
        self._delay = delay or Delay()
        self._every = every
        self._rng = random.Random(seed)  # noqa: S311 - a reproducible stream, no secret
        self._log = log or MemoryLog()
        self._certifier = certifier
        self.diagnosis: Diagnosis | None = None
        self.events: list[Event] = []
        self._watermark: Watermark = {}
        self._asked: deque[_Asked] = deque()
        self._begun = 0

    @property
    def live(self) -> PolicyDocument:
        """The policy that decides the next query."""
        return self.policies[-1]

    def run(self, rows: Sequence[Row]) -> Iterator[Served]:
        """Serve the rows in order, those between two turns of the cycle under one policy.

        Called again, it goes on with more rows.
        """
        begun, self._begun = self._begun, self._begun + len(rows)
        for first in range(0, len(rows), self._every):
            block = rows[first : first + self._every]
            for at, (row, actions) in enumerate(self._decide(block), begun + first):
                yield self._serve(at, row, actions)
            if self.learner is not None and len(block) == self._every:
                self._turn(begun + first + len(block), self.learner)

    def _turn(self, at: int, learner: Learner) -> None:
        """The control plane's own cycle."""
        self._answer_labels(at)
        now = EPOCH + timedelta(seconds=at)
        done = turn(
            self._log,
            learner,
            self.live,
            self._watermark,
            now,
            trust=self.trust,
            certifier=self._certifier,
            diagnosis=self.diagnosis,
        )
        self._watermark = done.watermark
        self.alarms += done.alarms
        self.news += done.news
        self.events += done.events
        if done.proposal is not None:
            self.policies.append(done.proposal)

    def _document(self, version: int) -> PolicyDocument | None:
        found = (each for each in reversed(self.policies) if each.version == version)
        return next(found, None)

    def _answer_labels(self, at: int) -> None:
        waiting = self._log.pending
        due = [asked for asked in self._asked if asked.due <= at and asked.decision_id in waiting]
        self._asked = deque(asked for asked in self._asked if asked not in due)
        for asked in due:
            self._log.resolve(asked.decision_id, asked.right, asked.score)

    def _decide(self, rows: Sequence[Row]) -> Iterator[tuple[Row, tuple[str, ...]]]:
        """Each row with the actions that lead to its reply under the live policy."""
        policy = self.live
        calls = [call(tier.name) for tier in policy.tiers]
        score = np.array([np.nan if row.score is None else row.score for row in rows])
        queries = Queries.of(policy, [row.features for row in rows], score)
        found = courses(policy, policy.segments[0], queries)
        ways = zip(rows, found.straight, found.judged, found.served, strict=True)
        for row, straight, judged, served in ways:
            asked = () if straight else (calls[0], JUDGE) if judged else (calls[0],)
            yield row, (*asked, calls[served]) if served else asked

    def _serve(self, at: int, row: Row, actions: tuple[str, ...]) -> Served:
        policy, seed = self.live, self._rng.getrandbits(63)
        tiers = [tier.name for tier in policy.tiers]
        answered = tuple(a.removeprefix(CALL) for a in actions if a != JUDGE)
        segment = policy.segments[0]
        state = State(answered, row.score if JUDGE in actions else None)
        drawn = draw(policy, segment.name, row.features, state, seed)
        shadowed = tuple(each.tier for each in drawn if each.tier is not None)
        served_unjudged = policy.local.name in answered and JUDGE not in actions
        tried = served_unjudged and bool(shadowed) and on_trial(segment)
        state = State(answered, row.score) if tried else state
        usd = dict(zip(tiers, row.usd, strict=True))
        worth = dict(zip(tiers, row.worth, strict=True))
        cost = sum(usd[tier] for tier in answered) + actions.count(JUDGE) * row.judge_usd
        called = {*answered, *shadowed}
        used = {tier: tokens for tier, tokens in _used(row, policy).items() if tier in called}
        self._log.complete(_seen(at, row, policy, state, cost, used), drawn)
        labels = 0
        if any(each.kind == "audit" for each in drawn):
            told = (*answered, *shadowed)
            score = row.score if policy.local.name in shadowed else None
            self._ask(at, {tier: worth[tier] for tier in told}, score)
            labels = len(told)
        return Served(
            at=at,
            policy_version=policy.version,
            actions=actions,
            quality=worth[answered[-1]],
            cost_usd=cost,
            shadow_usd=sum(usd[tier] for tier in shadowed)
            + _late_judge_usd(row, tried or policy.local.name in shadowed),
            labels=labels,
        )

    def _ask(self, at: int, worth: dict[str, float], score: float | None) -> None:
        due = at + self._rng.randint(self._delay.least, self._delay.most)
        told = {
            tier: value for tier, value in worth.items() if self._rng.random() >= self._delay.silent
        }
        self._asked.append(_Asked(due, UUID(int=at), told, score))


def _late_judge_usd(row: Row, late: bool) -> float:
    """An unseen local answer is judged too, and one that is judged for the trial alone."""
    return row.judge_usd if late and row.score is not None else 0.0


def _used(row: Row, policy: PolicyDocument) -> dict[str, Used]:
    used = row.used or [
        _implied(tier, row.features.chars, usd)
        for tier, usd in zip(policy.tiers, row.usd, strict=True)
    ]
    return {tier.name: tokens for tier, tokens in zip(policy.tiers, used, strict=True)}


def _implied(terms: TierTerms, chars: int, usd: float) -> Used:
    """Tokens that come to a recorded cost: of the prompt as expected, the rest of the answer."""
    prompt = terms.overhead_tokens + chars / terms.chars_per_token
    if terms.output_usd_per_mtok:
        left = usd * 1e6 - prompt * terms.input_usd_per_mtok
        return Used(round(prompt), round(left / terms.output_usd_per_mtok))
    return Used(round(usd * 1e6 / terms.input_usd_per_mtok) if terms.input_usd_per_mtok else 0, 0)


def _seen(
    at: int,
    row: Row,
    policy: PolicyDocument,
    state: State,
    cost_usd: float,
    used: Mapping[str, Used],
) -> Observation:
    return Observation(
        decision_id=UUID(int=at),
        at=EPOCH + timedelta(seconds=at),
        segment=policy.segments[0].name,
        policy_version=policy.version,
        features=row.features,
        answered=state.answered,
        served=state.answered[-1],
        score=state.score,
        cost_usd=cost_usd,
        used=used,
    )
