"""Whether one policy is as good as another but for a margin, by pairs of labels where they part.

Let S be the queries that the two may serve differently, s the share of S, and d the label of the
new policy's answer less that of the old one's, 0 where both serve the same: q_new - q_old is
s E[d | S], and labels of other queries tell nothing of it. Bets on d against a mean of -margin / s
are two e-processes (``betting``): one refutes that the new policy is worse by more than the margin,
the other that it is not. Each is wrong with at most the level's probability, at whatever moment it
is looked at. s is known from counts that need no label, within a band that holds at all times
together (``beta_binomial``); where it matters the end of the band that is harder to refute is used.

The pairs have to be a uniform sample of S, and what is unlabelled missing without regard to d.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from math import log
from typing import Any, Literal

import numpy as np

from controlplane.stats.beta_binomial import beta_binomial_band
from controlplane.stats.betting import Wealth, bet
from controlplane.stats.intervals import Interval

Verdict = Literal["holds", "fails"]


STAKES = (0.12, 0.25, 0.5)  # policies that hardly differ are not worth a verdict
BAND = 0.1  # of the level that goes to the band of s
NONE = Wealth((0.0,) * len(STAKES))


@dataclass(frozen=True, slots=True)
class Claim:
    """That the new policy's quality is at least the old one's less ``margin``, which is settled
    before the first pair; ``level`` is the probability with which a verdict may be wrong.
    """

    margin: float
    level: float = 0.05

    @property
    def evidence(self) -> float:
        """What an e-process has to reach."""
        return 1 / (self.level * (1 - BAND))


@dataclass(frozen=True, slots=True)
class Contest:
    """The evidence so far: of ``queries`` the two may have parted on ``parted``."""

    for_it: Wealth = NONE
    against: Wealth = NONE
    queries: int = 0
    parted: int = 0

    @property
    def pairs(self) -> int:
        """How many were labelled."""
        return max(self.for_it.bets, self.against.bets)

    def share(self, claim: Claim) -> Interval:
        """The share of queries on which the two may part, between bounds that hold at all times."""
        return _share(self.parted, self.queries - self.parted, claim.level * BAND)

    def state(self) -> dict[str, Any]:
        """As JSON values."""
        wealth = {"for_it": self.for_it.state(), "against": self.against.state()}
        return wealth | {"queries": self.queries, "parted": self.parted}

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Contest":
        """Inverse of ``state``."""
        for_it, against = (Wealth.restored(state[name]) for name in ("for_it", "against"))
        return cls(for_it, against, state["queries"], state["parted"])


def seen(contest: Contest, *, queries: int, parted: int) -> Contest:
    """The contest after further queries, on some of which the two may part."""
    return replace(contest, queries=contest.queries + queries, parted=contest.parted + parted)


def compared(contest: Contest, difference: float, claim: Claim) -> Contest:
    """The contest after one pair, in the order of the draws.

    >>> claim, contest = Claim(margin=0.01), seen(Contest(), queries=2000, parted=200)
    >>> for difference in [-1.0, 0.0, -1.0] * 12:
    ...     contest = compared(contest, difference, claim)
    >>> verdict(contest, claim)
    'fails'
    """
    share = contest.share(claim)
    low, high = share.low, share.high
    easy, hard = (high, low) if claim.margin > 0 else (low, high)
    lost = _ratio(claim.margin, easy), _ratio(claim.margin, hard)  # of S, if the claim just holds
    for_it, against = contest.for_it, contest.against
    if lost[0] < 1:
        for_it = bet(for_it, difference, null=-lost[0], stakes=STAKES)
    if -1 < lost[1] < 1:
        against = bet(against, -difference, null=lost[1], stakes=STAKES)
    return replace(contest, for_it=for_it, against=against)


def verdict(contest: Contest, claim: Claim) -> Verdict | None:
    """What was shown; None: nothing yet.

    Where the two part so seldom that nobody could lose, or gain, the margin no label is needed.
    """
    if contest.queries and contest.share(claim).high <= abs(claim.margin):
        return "holds" if claim.margin > 0 else "fails"
    enough = log(claim.evidence)
    if contest.for_it.log_evidence >= enough:
        return "holds"
    return "fails" if contest.against.log_evidence >= enough else None


@lru_cache(maxsize=4096)
def _share(parted: int, alike: int, level: float) -> Interval:
    counts = np.array([float(parted)]), np.array([float(alike)])
    return beta_binomial_band(*counts, 1 - level).at(-1)


def _ratio(margin: float, share: float) -> float:
    """Within [-1, 1], beyond which no mean of differences is."""
    if abs(margin) >= share:
        return 1.0 if margin > 0 else -1.0
    return margin / share
