"""What a policy would have done with logged queries, by the very code that serves.

A decision is a pure function of policy, query, eligibility and seed, so any document can be tried
on a log. Where it would have asked the judge of an answer that nobody judged, what it would have
done is not known, unless all scores lead to the same answer: it is followed over all of them, each
as probable as the document believes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.evaluate.logged import Logged
from dataplane.contract import rule
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.rule import Array, Mask
from dataplane.contract.terms import SegmentPolicy
from dataplane.strategies import (
    JUDGE,
    REPLY,
    Context,
    Courses,
    Queries,
    State,
    choose,
    consider,
    courses,
)
from dataplane.strategies.base import CALL


@dataclass(frozen=True, slots=True)
class Course:
    """What would have been done with one query.

    ``tier``: whose answer would have been served; None where that hinges on a score that nobody
    saw, or no tier could answer. ``settled``: serving alone tells it, without a draw. ``right``:
    how probably the served answer is right, and ``usd``: what serving costs, as the document
    expects it; of calls that were made, what they cost. Neither looks at what a draw brought to
    light.
    """

    tier: str | None
    judged: bool
    settled: bool
    right: float
    usd: float


def follow(document: PolicyDocument, logged: Sequence[Logged]) -> list[Course]:
    """The course of each query under this document."""
    found: dict[int, Course] = {}
    for segment in document.segments:
        at = [i for i, each in enumerate(logged) if _segment(document, each) is segment]
        if at:
            part = _Part.of(document, segment, [logged[i] for i in at])
            found |= dict(zip(at, part.courses(), strict=True))
    return [found[i] for i in range(len(logged))]


def _segment(document: PolicyDocument, each: Logged) -> SegmentPolicy:
    return document.segment(each.seen.segment)


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Queries (N,) of one segment. ``alone``: contexts of those that are followed step by step,
    since something is barred from them or an arm is drawn; None where no tier can answer.
    """

    document: PolicyDocument
    segment: SegmentPolicy
    logged: Sequence[Logged]
    queries: Queries
    alone: dict[int, Context | None]

    @classmethod
    def of(
        cls, document: PolicyDocument, segment: SegmentPolicy, logged: Sequence[Logged]
    ) -> "_Part":
        unknown = np.full(len(logged), document.judge.lowest)
        queries = Queries.of(document, [each.seen.features for each in logged], unknown)
        alone = {
            at: _context(document, segment, each)
            for at, each in enumerate(logged)
            if each.barred or segment.arms
        }
        return cls(document, segment, logged, queries, alone)

    def courses(self) -> Iterator[Course]:
        """Of each query."""
        served = self._scores([each.served_score for each in self.logged])
        seen = self._scores([each.seen.score for each in self.logged])
        way = self._ways(np.where(np.isnan(seen), self.document.judge.lowest, seen))
        blind = way.judged & np.isnan(served)
        over = self._over_scores(blind)
        hinges = self._hinges(over, blind)
        right, usd = self._expected(way, served, blind, over)
        for at, each in enumerate(self.logged):
            tier = self.document.tiers[int(way.served[at])].name
            unseen = bool(hinges[at] and np.isnan(seen[at]))
            impossible = at in self.alone and self.alone[at] is None
            made = not blind[at] and self._is_what_served(at, way, tier)
            yield Course(
                None if unseen or impossible else tier,
                bool(way.judged[at]),
                not hinges[at],
                float(right[at]),
                each.seen.cost_usd if made else float(usd[at]),
            )

    def _ways(self, score: Array, wanted: Mask | None = None) -> Courses:
        """The courses at these scores (N,); of those followed alone, only the wanted ones."""
        told = Queries(self.queries.p_hat, self.queries.chars, score, self.queries.category)
        way = courses(self.document, self.segment.replaced(arms=()), told)
        straight, judged, escalated = way.straight.copy(), way.judged.copy(), way.escalated.copy()
        dear = way.dear.copy()
        for at, context in self.alone.items():
            if context is not None and (wanted is None or wanted[at]):
                steps = _steps(context, float(score[at]), self.logged[at].seed)
                straight[at], judged[at], escalated[at], dear[at] = steps
        return Courses(straight, judged, escalated, dear)

    def _scores(self, told: Sequence[float | None]) -> Array:
        """(N,) NaN where there is none, or another judge gave it."""
        judge = self.document.judge.judge
        return np.array(
            [
                np.nan if score is None or each.policy.judge.judge != judge else score
                for score, each in zip(told, self.logged, strict=True)
            ],
            dtype=np.float64,
        )

    def _over_scores(self, blind: Mask) -> list[Courses]:
        """The courses at each bin's raw score, and at the lowest and highest that there are."""
        judge = self.document.judge
        if not blind.any():
            return []
        ends = (*judge.bins.raw, judge.lowest, judge.highest)
        return [self._ways(np.full(blind.shape, score), blind) for score in ends]

    def _hinges(self, over: Sequence[Courses], blind: Mask) -> Mask:
        """(N,) Whether it takes a score that serving did not have to tell which tier serves."""
        parted = [way.served != over[0].served for way in over]
        return np.asarray(blind & np.any(parted, axis=0)) if parted else blind

    def _expected(
        self, way: Courses, served: Array, blind: Mask, over: Sequence[Courses]
    ) -> tuple[Array, Array]:
        """P(right) and cost of each course; of the blind ones, over all bins of the judge."""
        beliefs = self.document.beliefs(self.segment, self.queries.p_hat)
        bins, prices = self.document.judge.bins, self._prices()
        right, usd = _of(way, rule.right(beliefs, None)), self._spent(way, prices)
        right, usd = np.where(blind, 0.0, right), np.where(blind, 0.0, usd)
        scored, k = way.judged & ~blind, np.searchsorted(bins.edges, served, side="right")
        for bin_ in range(len(bins.raw)):
            told, chance = rule.right(beliefs, bin_), beliefs.bin_probability[:, bin_]
            right = np.where(scored & (k == bin_), _of(way, told), right)
            if over:
                right += np.where(blind, chance * _of(over[bin_], told), 0.0)
                usd += np.where(blind, chance * self._spent(over[bin_], prices), 0.0)
        return right, usd

    def _prices(self) -> Array:
        """(tiers, N) What a call costs: as expected, or what it did where it was made."""
        bills = self.document.bills(self.queries.chars, self.queries.category)
        shape = self.queries.chars.shape
        prices = np.array([np.broadcast_to(each, shape) for each in (bills.local, *bills.dear)])
        for place, tier in enumerate(self.document.tiers):
            for at, each in enumerate(self.logged):
                used = each.seen.used_by(each.seen.answered).get(tier.name)
                if used is not None:
                    prices[place, at] = tier.cost_usd(*used)
        return prices

    def _spent(self, way: Courses, prices: Array) -> Array:
        dear = np.take_along_axis(prices, (1 + way.dear)[None], axis=0)[0]
        spent = np.where(way.straight, 0.0, prices[0]) + np.where(way.to_dear, dear, 0.0)
        return np.asarray(spent + way.judged * self.document.judge.cost_usd)

    def _is_what_served(self, at: int, way: Courses, tier: str) -> bool:
        each = self.logged[at]
        first = () if way.straight[at] else (self.document.local.name,)
        calls = (*first, tier) if way.to_dear[at] else first
        judged = each.served_score is not None
        return calls == each.seen.answered and judged == bool(way.judged[at])


def _of(way: Courses, by_tier: Sequence[Array]) -> Array:
    """(N,) What is told by tier of the one that serves."""
    return np.asarray(np.take_along_axis(np.array(by_tier), way.served[None], axis=0)[0])


def _context(document: PolicyDocument, segment: SegmentPolicy, each: Logged) -> Context | None:
    names = {tier.name for tier in document.tiers}
    eligible = (names | {JUDGE}) - each.barred
    if not eligible & names:
        return None
    return consider(document, each.seen.features, segment.name, eligible)


def _steps(context: Context, score: float, seed: int) -> tuple[bool, bool, bool, int]:
    """Straight to a dear tier, judged, escalated, and the place of the dear tier."""
    state, judged = State(), False
    while (action := choose(context, state, seed).action) != REPLY:
        if action == JUDGE:
            state, judged = State(state.answered, score), True
        else:
            state = State((*state.answered, action.removeprefix(CALL)), state.score)
    names = [tier.name for tier in context.policy.tiers]
    served = names.index(state.answered[-1])
    return names.index(state.answered[0]) > 0, judged, len(state.answered) > 1, max(served - 1, 0)
