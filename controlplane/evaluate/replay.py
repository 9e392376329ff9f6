"""Serve recorded queries by the very strategies that serve live ones, learner included.

A row holds what each tier would have answered. The loop reveals an outcome or a score only through
the path taken or a draw, so permuting what stays unrevealed leaves every decision as it was.
"""

import random
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from controlplane.learn.learner import Learner
from controlplane.observations import Labelled, Observation
from dataplane.contract.policy import PolicyDocument
from dataplane.features import Features
from dataplane.strategies import JUDGE, State, choose, consider, draw

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
REPLY = "reply"


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded query: what either tier's answer is worth, its score, and what each costs."""

    features: Features
    local: float
    cloud: float
    score: float | None
    local_usd: float
    cloud_usd: float
    judge_usd: float = 0.0


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


@dataclass(slots=True)
class _Pending:
    due: int
    labelled: Labelled = field(repr=False)


class Replay:
    """One pass of a learner over rows; ``policies`` are the versions that served, in order."""

    def __init__(
        self,
        start: PolicyDocument,
        learner: Learner | None,
        *,
        seed: int = 0,
        delay: Delay | None = None,
        every: int = 50,
    ) -> None:
        self.policies = [start]
        self.learner = learner
        self.delay = delay or Delay()
        self.every = every
        self._rng = random.Random(seed)
        self._pending: deque[_Pending] = deque()
        self._seen: list[Observation] = []

    @property
    def live(self) -> PolicyDocument:
        """The policy that decides the next query."""
        return self.policies[-1]

    def run(self, rows: Sequence[Row]) -> Iterator[Served]:
        """Serve the rows in order."""
        for at, row in enumerate(rows):
            yield self._serve(at, row)
            if self.learner is not None and (at + 1) % self.every == 0:
                self._turn(at + 1, self.learner)

    def _turn(self, at: int, learner: Learner) -> None:
        learner.observe(self._seen)
        self._seen = []
        learner.learn(self._resolved(at))
        proposed = learner.propose(self.live, EPOCH + timedelta(seconds=at))
        if proposed is not None:
            self.policies.append(proposed)

    def _resolved(self, at: int) -> list[Labelled]:
        due = [pending.labelled for pending in self._pending if pending.due <= at]
        self._pending = deque(pending for pending in self._pending if pending.due > at)
        return due

    def _serve(self, at: int, row: Row) -> Served:
        policy, seed = self.live, self._rng.getrandbits(63)
        tiers = (policy.local.name, policy.cloud.name)
        eligible = {*tiers, JUDGE} if row.score is not None else set(tiers)
        context = consider(policy, row.features, "default", eligible)
        state, actions = State(), []
        while (action := choose(context, state, seed).action) != REPLY:
            actions.append(action)
            if action == JUDGE:
                state = State(state.answered, row.score)
            else:
                state = State((*state.answered, action.removeprefix("call:")), state.score)
        drawn = {each.kind: each for each in draw(policy, state.answered, seed)}
        shadowed = tuple(tier for tier in tiers if tier not in state.answered and "shadow" in drawn)
        labels = self._observe(at, row, policy, state, shadowed, "audit" in drawn)
        usd = dict(zip(tiers, (row.local_usd, row.cloud_usd), strict=True))
        right = dict(zip(tiers, (row.local, row.cloud), strict=True))
        cost = sum(usd[tier] for tier in state.answered) + actions.count(JUDGE) * row.judge_usd
        return Served(
            at,
            policy.version,
            tuple(actions),
            right[state.answered[-1]],
            cost,
            sum(usd[tier] for tier in shadowed),
            labels,
        )

    def _observe(
        self,
        at: int,
        row: Row,
        policy: PolicyDocument,
        state: State,
        shadowed: tuple[str, ...],
        audited: bool,
    ) -> int:
        """Reveal to the learner what this path and these draws reveal; returns labels asked for."""
        score = row.score if policy.local.name in shadowed else state.score
        seen = Observation(
            decision_id=UUID(int=at),
            at=EPOCH + timedelta(seconds=at),
            segment="default",
            policy_version=policy.version,
            features=row.features,
            answered=state.answered,
            served=state.answered[-1],
            score=score,
            cost_usd=0.0,
        )
        self._seen.append(seen)
        if not audited:
            return 0
        answered = (*state.answered, *shadowed)
        worth = {policy.local.name: row.local, policy.cloud.name: row.cloud}
        right = {t: worth[t] for t in answered if self._rng.random() >= self.delay.silent}
        labelled = Labelled(seen, right, policy.audit.rate, policy.shadow.rate)
        due = at + self._rng.randint(self.delay.least, self.delay.most)
        self._pending.append(_Pending(due, labelled))
        return len(answered)
